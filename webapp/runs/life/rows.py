"""What a cell of the table can hold: rows, of which the first that fits is taken, a refusal, or nothing by intent."""

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
    """The words that came with the event."""
    return event.detail


@dataclass(frozen=True)
class Row:
    """Where the run goes and what follows; without `to` it stays where it is."""

    to: RunState | None = None
    when: Guard | None = None
    demands: tuple[Effect, ...] = ()  # raise an AppError where the event cannot be taken now; nothing is written yet
    before: tuple[Effect, ...] = ()
    words: Words = event_detail  # of the move, for the timeline; asked after `before`
    signed: bool = False  # whether the timeline names the event's part and error beside the move
    after: tuple[Effect, ...] = ()
    then: Happening | None = None  # what this makes happen at once


@dataclass(frozen=True)
class Refused:
    """The event cannot happen in this state. `{state}` in the sentence is the state's label."""

    message: str | None = None  # of the catalogue where there is none
    remedy: str | None = None
    code: str = "CL-1501"

    def error(self, run: Run) -> AppError:
        """The error for this run."""
        message = self.message.format(state=run.get_state_display().lower()) if self.message else None
        return AppError(self.code, message, self.remedy)


@dataclass(frozen=True)
class Ignored:
    """The event means nothing in this state, and is not refused: it arrives late, twice, or for other states."""


IGNORED = Ignored()
Cell = tuple[Row, ...] | Refused | Ignored
