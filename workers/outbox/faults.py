"""What the hub does not take though it is there: told apart from an outage, tried again at its own pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

FAULTS = 10  # so often in vain, with other things accepted in between, and it is the record and not the hub
PAUSE_FIRST, PAUSE_MOST = 0.5, 10.0  # seconds until what was not taken is tried again; doubled each time


@dataclass
class Faults:
    """Counts the hub's own faults per record or message. In memory: a restart of the worker counts anew."""

    _accepted: int = 0
    _counts: dict[Hashable, tuple[int, int]] = field(default_factory=dict)  # key → faults, accepted before the last

    def accepted(self) -> None:
        """The hub has taken something: a record, a message or the question for the assignments."""
        self._accepted += 1

    def again(self, key: Hashable) -> bool:
        """Note a fault; whether it is one too many. Faults with nothing accepted in between are one outage."""
        count, before = self._counts.get(key, (0, -1))
        if self._accepted == before:
            return False
        self._counts[key] = (count + 1, self._accepted)
        return count + 1 >= FAULTS

    def forget(self, key: Hashable) -> None:
        """The record or message is gone, or another stands in its place."""
        self._counts.pop(key, None)


@dataclass
class Pauses:
    """How long each participant's records, and its messages, rest after a failure. Nobody else's wait for them."""

    clock: Callable[[], float] = time.monotonic
    _until: dict[Hashable, tuple[float, float]] = field(default_factory=dict)  # key → when to try again, the pause

    def rests(self, key: Hashable) -> bool:
        """Whether it is too early to try again."""
        return key in self._until and self.clock() < self._until[key][0]

    def begin(self, key: Hashable, *, longer: bool = True) -> None:
        """It failed once more. Without `longer`: it failed at something else than the last time."""
        pause = PAUSE_FIRST
        if longer and key in self._until:
            pause = min(2 * self._until[key][1], PAUSE_MOST)
        self._until[key] = (self.clock() + pause, pause)

    def end(self, key: Hashable) -> None:
        """It went."""
        self._until.pop(key, None)


@dataclass
class Search:
    """Where each participant's record lies that the hub does not take: batches are halved until it stands alone."""

    _through: dict[str, int] = field(default_factory=dict)  # participant → the last number of the batch that failed

    def failed(self, participant_id: str, last: int) -> None:
        """The batch that ends with this number was not taken, so the record is in it."""
        self._through[participant_id] = last

    def limit(self, participant_id: str, stored_through: int, most: int) -> int:
        """How many records to send next: half of those in doubt, or `most` where none is."""
        through = self._through.get(participant_id, 0)
        if through <= stored_through:
            self._through.pop(participant_id, None)
            return most
        return max(1, (through - stored_through) // 2)
