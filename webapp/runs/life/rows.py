"""What a cell of the table can contain: rows, of which the first match applies, a refusal, or an intended no-op."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from splitcore.errors import AppError
from webapp.runs.life.events import Event, Happening
from webapp.runs.models import Run, RunState

Guard = Callable[[Run, Event], bool]
Effect = Callable[[Run, Event], None]
Words = Callable[[Run, Event], str]


def event_detail(run: Run, event: Event) -> str:
    """The event's own text."""
    return event.detail


@dataclass(frozen=True)
class Row:
    """The next state and its effects; without `to`, the run stays in its state."""

    to: RunState | None = None
    when: Guard | None = None
    demands: tuple[Effect, ...] = ()  # raise an AppError if the event can't be accepted now; nothing is written yet
    before: tuple[Effect, ...] = ()
    words: Words = event_detail  # of the move, for the timeline; asked after `before`
    signed: bool = False  # whether the timeline names the event's part and error with the move
    after: tuple[Effect, ...] = ()
    then: Happening | None = None  # an event that this causes at once


@dataclass(frozen=True)
class Refused:
    """The event cannot happen in this state. `{state}` in the sentence is the state's label."""

    message: str | None = None  # the catalogue's if empty
    remedy: str | None = None
    code: str = "CL-1501"

    def error(self, run: Run) -> AppError:
        """The error for this run."""
        message = self.message.format(state=run.get_state_display().lower()) if self.message else None
        return AppError(self.code, message, self.remedy)


@dataclass(frozen=True)
class Ignored:
    """The event has no meaning in this state but isn't refused: it arrives late, twice, or for another state."""


IGNORED = Ignored()
Cell = tuple[Row, ...] | Refused | Ignored
