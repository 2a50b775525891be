"""What the hub fails at itself: told apart from an outage by what it takes in between."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

FAULTS = 10  # so often in vain, with other things accepted in between, and it is the record and not the hub


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
