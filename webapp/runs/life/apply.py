"""The one function that moves a run: it looks up the event in the table and applies the entry."""

from __future__ import annotations

from django.utils import timezone

from webapp.runs.life.events import Event, Happening
from webapp.runs.life.rows import Cell, Ignored, Refused, Row
from webapp.runs.life.transitions import TABLE
from webapp.runs.models import Run, RunState
from webapp.runs.states import ENDED
from webapp.runs.timeline import run_announce, timeline_event
from workers.contracts import HubEvent


def run_expect(run: Run, happening: Happening) -> bool:
    """Whether the event has a meaning in the run's current state, before anything else is checked.

    Raises CL-1501 or CL-1504 if it is refused.
    """
    cell = _cell(run, happening)
    if isinstance(cell, Refused):
        raise cell.error(run)
    return not isinstance(cell, Ignored)


def run_apply(run: Run, event: Event) -> RunState | None:
    """Apply an event to a locked run. Returns the state it moves to, or None if it stays.

    Raises CL-1501 or CL-1504 where the table refuses the event in the run's state, and what the row demands else.
    """
    cell = _cell(run, event.happening)
    if not run_expect(run, event.happening) or isinstance(cell, Ignored | Refused):
        return None
    row = next(row for row in cell if row.when is None or row.when(run, event))
    for demand in row.demands:
        demand(run, event)
    for effect in row.before:
        effect(run, event)
    if row.to is not None:
        _enter(run, row.to, row, event)
    for effect in row.after:
        effect(run, event)
    if row.then is not None:
        run_apply(run, Event(row.then))
    return row.to


def _cell(run: Run, happening: Happening) -> Cell:
    return TABLE[happening][RunState(run.state)]


def _enter(run: Run, to: RunState, row: Row, event: Event) -> None:
    """Store the new state, note it on the timeline and ring the browsers."""
    now = timezone.now()
    run.state, run.state_since = to, now
    if to == RunState.STARTING:
        run.started_at = now
    if to == RunState.TRAINING and run.training_at is None:
        run.training_at = now
    run.ended_at = now if to in ENDED else None
    run.save(update_fields=["state", "state_since", "started_at", "training_at", "ended_at", "updated_at"])
    signed = (event.error, event.participant) if row.signed else (None, None)
    timeline_event(run, HubEvent(f"run.{to.value}"), row.words(run, event), error=signed[0], participant=signed[1])
    run_announce(run)
