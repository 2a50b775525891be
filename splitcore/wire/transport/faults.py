"""A bad network on purpose: drops, doubles, reorders, delays and damages frames, reproducibly from a seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class FaultRates:
    """Chance of each fault per frame."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    truncate: float = 0.0
    delay: float = 0.0


class FaultyWire:
    """Call it with a frame, get what arrives instead. A delayed frame comes some frames later."""

    def __init__(self, rates: FaultRates, seed: int) -> None:
        self._rates, self._random = rates, Random(seed)  # noqa: S311 - chosen faults, not secrets
        self._late: list[tuple[int, bytes]] = []
        self.faults: dict[str, int] = {}

    def __call__(self, frame: bytes) -> list[bytes]:
        """The frames that arrive now."""
        due = [late for wait, late in self._late if wait <= 1]
        self._late = [(wait - 1, late) for wait, late in self._late if wait > 1]
        if self._happens("drop", self._rates.drop):
            return due
        if self._happens("reorder", self._rates.reorder):
            self._late.append((1, frame))
            return due
        if self._happens("delay", self._rates.delay):
            self._late.append((self._random.randint(2, 5), frame))
            return due
        if self._happens("corrupt", self._rates.corrupt):
            frame = self._damage(frame)
        if self._happens("truncate", self._rates.truncate):
            frame = frame[: self._random.randrange(len(frame))]
        copies = 2 if self._happens("duplicate", self._rates.duplicate) else 1
        return [frame] * copies + due

    def _happens(self, fault: str, rate: float) -> bool:
        if self._random.random() >= rate:
            return False
        self.faults[fault] = self.faults.get(fault, 0) + 1
        return True

    def _damage(self, frame: bytes) -> bytes:
        damaged = bytearray(frame)
        damaged[self._random.randrange(len(damaged))] ^= 1 << self._random.randrange(8)
        return bytes(damaged)
