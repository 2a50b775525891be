"""Who takes part in a step, who is late, and how a late party returns.

A party's time in a step is measured at the server half, from the step's start to its whole contribution. It is late
after `deadline_factor` times the median: of the parties in this step, or of the steps before, whichever is longer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from time import monotonic

import torch

from splitcore.control.controller import SLICE
from splitcore.run.plan import RunPlan
from splitcore.step.faults import Fault

HISTORY = 50  # steps whose medians are remembered
MOST_MISSED_BYTES = 256 << 20  # summed gradients kept for an absent party, at most


class Standing(StrEnum):
    """A party's standing in the run."""

    IN = "in"
    LATE = "late"  # told to leave its step; what it still sends for it is dropped
    BACK = "back"  # catching up, to take part from an agreed step on
    GONE = "gone"  # lost, or away for too long: it stays out


@dataclass(frozen=True)
class Ending:
    """A step's outcome, as sent to every party: the gradients of head and tail, if they are summed."""

    step: int
    norm: float
    fault: Fault | None
    ends: dict[str, torch.Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes of the gradients."""
        return sum(value.nbytes for value in self.ends.values())


@dataclass
class _Member:
    standing: Standing = Standing.IN
    joins: int = 0  # the step from which it takes part after its return
    began: float | None = None  # when its time in this step began; None: the clock hasn't started
    heard: bool = False  # it has begun its part of this step
    took: float = inf  # its time in this step, once its contribution is complete
    missed: list[Ending] = field(default_factory=list)


class Membership:
    """The parties of a run, step by step."""

    def __init__(self, plan: RunPlan, *, first: int, total: int, now: Callable[[], float] = monotonic) -> None:
        self._plan, self._total, self._now = plan, total, now
        self.policy, self._factor = plan.settings.config.schedule.lateness()
        self._members = {party: _Member() for party in plan.settings.parties}
        self._medians: deque[float] = deque(maxlen=HISTORY)
        self._noticed: set[str] = set()
        self.begin(first)

    # ---- who is in

    def taking_part(self, step: int) -> list[str]:
        """The parties whose contribution a step waits for, in the contract's order."""
        return [party for party in self._plan.active(step) if self._is_in(party, step)]

    def _is_in(self, party: str, step: int) -> bool:
        member = self._members[party]
        return member.standing is Standing.IN or (member.standing is Standing.BACK and step >= member.joins)

    def standing(self, party: str) -> Standing:
        """A party's standing in the run."""
        return self._members[party].standing

    def joins(self, party: str) -> int | None:
        """The step from which a party that is catching up takes part."""
        member = self._members[party]
        return member.joins if member.standing is Standing.BACK else None

    @property
    def gone(self) -> set[str]:
        """Parties that stay out."""
        return {party for party, member in self._members.items() if member.standing is Standing.GONE}

    # ---- time

    def begin(self, step: int) -> None:
        """A step begins. Where the parties evaluate first, the clocks start once half of them have begun."""
        self._step, self._noticed = step, set()
        waits = self._plan.evaluates_at(step, self._total)
        for member in self._members.values():
            if member.standing is Standing.BACK and step >= member.joins:
                member.standing = Standing.IN
            member.began, member.took, member.heard = None if waits else self._now(), inf, False

    def heard(self, party: str) -> None:
        """A party has begun its part of the step."""
        self._members[party].heard = True
        members = [self._members[name] for name in self.taking_part(self._step)]
        half = sum(member.heard for member in members) > (len(members) - 1) // 2
        for member in members if half else [self._members[party]]:
            member.began = self._now() if member.began is None else member.began

    def evaluates(self, party: str) -> None:
        """A party evaluates held-out rows, which isn't part of the step: its clock restarts."""
        member = self._members[party]
        if not member.heard:
            member.began = self._now()

    def brought(self, party: str) -> None:
        """A party's contribution is complete."""
        member = self._members[party]
        member.took = self._now() - (self._now() if member.began is None else member.began)

    def paused(self, seconds: float) -> None:
        """Add the time for which the run stood still."""
        for member in self._members.values():
            member.began = None if member.began is None else member.began + seconds

    def finished(self) -> None:
        """The step is complete: remember its median."""
        if (median := self._median()) < inf:
            self._medians.append(median)

    def _median(self) -> float:
        """The lower median of the parties' times in this step; infinite while there is none."""
        times = sorted(self._members[party].took for party in self.taking_part(self._step))
        return times[(len(times) - 1) // 2] if times else inf

    def allowed(self, *, blocking: Sequence[str] = ()) -> dict[str, float]:
        """Party → seconds left until it is late. `blocking`: those for whom all others wait before they can go on."""
        median, before = self._median(), _median_of(self._medians)
        usual = max(before, median) if median < inf else before
        left: dict[str, float] = {}
        for party in self.taking_part(self._step):
            member = self._members[party]
            awaited = median < inf or (party in blocking and before > 0)
            if self.policy != "wait" and awaited and member.took == inf and member.began is not None:
                left[party] = member.began + self._factor * usual - self._now()
        return left

    def patience(self, *, blocking: Sequence[str] = ()) -> float:
        """Seconds until the clocks must be looked at again."""
        return max(0.001, min([SLICE, *self.allowed(blocking=blocking).values()]))

    def late(self, *, blocking: Sequence[str] = ()) -> list[str]:
        """Parties whose time is up, each told once a step; never all of them."""
        found = [party for party, left in self.allowed(blocking=blocking).items() if left <= 0]
        fresh = [party for party in found if party not in self._noticed]
        self._noticed |= set(fresh)
        return fresh if len(self.taking_part(self._step)) > len(fresh) else []

    # ---- out and back

    def drop(self, party: str) -> None:
        """Continue without this party."""
        self._members[party].standing = Standing.LATE

    def lose(self, party: str) -> None:
        """Exclude this party for good."""
        self._members[party].standing = Standing.GONE
        self._members[party].missed = []

    def ended(self, party: str, ending: Ending, *, told_now: bool) -> bool:
        """Whether an absent party gets a step's outcome at once; otherwise it is kept for its return, up to a bound."""
        member = self._members[party]
        if member.standing is not Standing.GONE and (told_now or member.standing is Standing.BACK):
            return True
        if member.standing is Standing.LATE:
            member.missed.append(ending)
            if sum(one.nbytes for one in member.missed) > MOST_MISSED_BYTES:
                self.lose(party)
        return False

    def returns(self, party: str, joins: int) -> list[Ending]:
        """A late party is back and takes part from step `joins` on. Returns what it missed, in order."""
        member = self._members[party]
        member.standing, member.joins = Standing.BACK, joins
        missed, member.missed = member.missed, []
        if joins <= self._step:
            member.standing, member.took, member.heard = Standing.IN, inf, False
            member.began = None if self._plan.evaluates_at(self._step, self._total) else self._now()
        return missed


def _median_of(values: Sequence[float]) -> float:
    return sorted(values)[(len(values) - 1) // 2] if values else 0.0
