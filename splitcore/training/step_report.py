"""What a half tells of a step that is over: its figures, its seconds by stage, and the bytes that crossed in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from splitcore.control.clock import Clock
from splitcore.control.events import StepFinished

if TYPE_CHECKING:
    from splitcore.step.client import StepOutcome
    from splitcore.step.server import ServerOutcome

TRANSFER = ("send", "wait")  # stages in which nothing is computed


class StepReport:
    """Makes the event of each step of a party."""

    def __init__(self, party: str, clock: Clock, traffic: Callable[[], tuple[int, int]]) -> None:
        """`traffic`: bytes to the server half and from it, so far."""
        self._party, self._clock, self._traffic = party, clock, traffic
        self._before = traffic()

    def begin(self) -> None:
        """A step begins: what crossed until now belongs to none."""
        self._before = self._traffic()

    def finished(
        self, step: int, outcome: StepOutcome | ServerOutcome, *, seen_tokens: int, absent: Sequence[str] = ()
    ) -> StepFinished:
        """The event of the step of that number (from 1); what follows belongs to the next one."""
        before, self._before = self._before, self._traffic()
        seconds = self._clock.take_step()
        return StepFinished(
            self._party,
            step,
            loss=outcome.loss,
            tokens=outcome.tokens,
            seen_tokens=seen_tokens,
            grad_norm=outcome.grad_norm,
            learning_rate=outcome.learning_rate,
            compute_seconds=sum(value for name, value in seconds.items() if name not in TRANSFER),
            send_seconds=seconds.get("send", 0.0),
            wait_seconds=seconds.get("wait", 0.0),
            uplink_bytes=self._before[0] - before[0],
            downlink_bytes=self._before[1] - before[1],
            seconds=seconds,
            absent=list(absent),
        )
