"""A part's own life, as far as it affects the run's: claimed, silent, back, interrupted, ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from splitcore.errors import AppError
from webapp.jobs.services import job_claim, job_finish, job_interrupt
from webapp.runs.models import Participant
from workers.contracts import ErrorInfo, Phase

if TYPE_CHECKING:
    from webapp.jobs.models import Job

_CLAIMED = ["attempt", "address", "step", "last_beat_at", "phase", "phase_since", "updated_at"]
_ENDED = ["error", "phase", "phase_since", "updated_at"]


def phase_set(participant: Participant, phase: Phase) -> bool:
    """Give a participant another phase (unsaved); whether it changed."""
    if participant.phase == phase.value:
        return False
    participant.phase, participant.phase_since = phase.value, timezone.now()
    return True


def half_of(participant: Participant) -> Job:
    """The job of a part's half. Raises CL-1504 for an evaluator, which has none."""
    if participant.train is None:
        raise AppError("CL-1504")
    return participant.train


def part_take_up(participant: Participant, attempt: int) -> None:
    """A worker has claimed its part, which starts afresh under this attempt."""
    participant.attempt = attempt
    participant.address, participant.step = "", 0
    participant.last_beat_at = timezone.now()
    phase_set(participant, Phase.STARTING)
    participant.save(update_fields=_CLAIMED)
    job_claim(half_of(participant), number=attempt)


def part_interrupt(participant: Participant, outcome: str, error: ErrorInfo | None) -> None:
    """The process of an attempt that had to end is gone: the part waits to be claimed again."""
    job_interrupt(half_of(participant), number=participant.attempt, outcome=outcome, error=error)
    phase_set(participant, Phase.WAITING)
    participant.save(update_fields=_ENDED)


def part_end(participant: Participant, outcome: str, error: ErrorInfo | None) -> None:
    """The part's process is gone and won't be restarted."""
    _close(participant, outcome, error, is_gone=True)


def part_close(participant: Participant, outcome: str, error: ErrorInfo | None) -> None:
    """The part has ended, and nobody will report whether its process is gone."""
    _close(participant, outcome, error, is_gone=False)


def _close(participant: Participant, outcome: str, error: ErrorInfo | None, *, is_gone: bool) -> None:
    job_finish(half_of(participant), number=participant.attempt, outcome=outcome, error=error, is_gone=is_gone)
    participant.error = error.model_dump() if error else None
    phase_set(participant, Phase(outcome))
    participant.save(update_fields=_ENDED)


def part_drop(participant: Participant) -> None:
    """A worker has gone silent; remember what its part was doing."""
    participant.phase_before_drop = participant.phase
    phase_set(participant, Phase.DROPPED)
    participant.save(update_fields=["phase_before_drop", "phase", "phase_since", "updated_at"])


def part_return(participant: Participant) -> None:
    """A silent worker is back, with no news about its part (unsaved)."""
    phase_set(participant, phase_before_drop(participant) or Phase.STARTING)


def phase_before_drop(participant: Participant) -> Phase | None:
    """What a part was doing before its worker went silent, if known."""
    return Phase(participant.phase_before_drop) if participant.phase_before_drop else None
