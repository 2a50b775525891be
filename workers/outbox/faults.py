"""Messages that the hub rejects while it is up: told apart from an outage, and retried at their own pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

FAULTS = 10  # after so many failures with other things accepted in between, the record is to blame and not the hub
PAUSE_FIRST, PAUSE_MOST = 0.5, 10.0  # seconds until a rejected message is retried; doubled each time


@dataclass
class Faults:
    """Counts the hub's own faults per record or message. In memory: a restart of the worker counts anew."""

    _accepted: int = 0
    _counts: dict[Hashable, tuple[int, int]] = field(default_factory=dict)  # key → faults, accepted before the last

    def accepted(self) -> None:
        """The hub accepted something: a record, a message or the request for assignments."""
        self._accepted += 1

    def again(self, key: Hashable) -> bool:
        """Count a fault; returns whether it is one too many. Faults with nothing accepted in between are one outage."""
        count, before = self._counts.get(key, (0, -1))
        if self._accepted == before:
            return False
        self._counts[key] = (count + 1, self._accepted)
        return count + 1 >= FAULTS

    def forget(self, key: Hashable) -> None:
        """The record or message is gone or has been replaced."""
        self._counts.pop(key, None)


@dataclass
class Pauses:
    """How long each participant's records, and its messages, rest after a failure. Others aren't held up."""

    clock: Callable[[], float] = time.monotonic
    _until: dict[Hashable, tuple[float, float]] = field(default_factory=dict)  # key → when to try again, the pause

    def rests(self, key: Hashable) -> bool:
        """Whether it is too early to try again."""
        return key in self._until and self.clock() < self._until[key][0]

    def begin(self, key: Hashable, *, longer: bool = True) -> None:
        """It failed again. Without `longer`: for a different reason than last time."""
        pause = PAUSE_FIRST
        if longer and key in self._until:
            pause = min(2 * self._until[key][1], PAUSE_MOST)
        self._until[key] = (self.clock() + pause, pause)

    def end(self, key: Hashable) -> None:
        """It was sent."""
        self._until.pop(key, None)


@dataclass
class Search:
    """Finds the record that the hub rejects, per participant: batches are halved until only that one is left."""

    _through: dict[str, int] = field(default_factory=dict)  # participant → the last number of the batch that failed

    def failed(self, participant_id: str, last: int) -> None:
        """The batch that ends with this number was rejected, so it contains the record."""
        self._through[participant_id] = last

    def limit(self, participant_id: str, stored_through: int, most: int) -> int:
        """How many records to send next: half of those in doubt, or `most` if there are none."""
        through = self._through.get(participant_id, 0)
        if through <= stored_through:
            self._through.pop(participant_id, None)
            return most
        return max(1, (through - stored_through) // 2)
