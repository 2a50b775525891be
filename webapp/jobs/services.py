"""An attempt's life: it begins with a claim, tells of its checkpoints, and ends. The caller holds the run's lock.

Claims count from 1: what comes under the number 0 is of no attempt, and nothing is kept of it.
"""

from __future__ import annotations

from django.utils import timezone

from webapp.jobs.models import Attempt, Job
from workers.contracts import JOBS, ErrorInfo

TRAIN = "train"


def attempt_begin(*, participant_id: str, number: int, kind: str = TRAIN) -> Attempt:
    """A worker has claimed the job: a process of it is there from now on."""
    attempt = _attempt(participant_id, kind, number)
    attempt.started_at, attempt.ended_at, attempt.outcome, attempt.error = timezone.now(), None, "", None
    attempt.save(update_fields=["started_at", "ended_at", "outcome", "error", "updated_at"])
    return attempt


def attempt_checkpoint(*, participant_id: str, number: int, step: int, kind: str = TRAIN) -> None:
    """The attempt has told that it holds a checkpoint of this step."""
    if number == 0:
        return
    attempt = _attempt(participant_id, kind, number)
    attempt.checkpoint_step = step
    attempt.save(update_fields=["checkpoint_step", "updated_at"])


def attempt_end(
    *,
    participant_id: str,
    number: int,
    outcome: str,
    error: ErrorInfo | None = None,
    is_gone: bool = True,
    kind: str = TRAIN,
) -> None:
    """What became of an attempt; `is_gone`: its worker has said that the process is over.

    An attempt that has ended keeps its own end: what is said under its number later is about the part, whose next
    attempt has not begun.
    """
    if number == 0:
        return
    attempt = _attempt(participant_id, kind, number)
    if attempt.ended_at is not None:
        return
    attempt.outcome, attempt.error = outcome, error.model_dump() if error else None
    if is_gone:
        attempt.ended_at = timezone.now()
    attempt.save(update_fields=["outcome", "error", "ended_at", "updated_at"])


def _attempt(participant_id: str, kind: str, number: int) -> Attempt:
    """The row of an attempt; a restored hub meets some that it has not handed out itself."""
    if kind not in JOBS:
        raise ValueError(f"{kind} is no kind of job")
    job, _ = Job.objects.get_or_create(participant_id=participant_id, kind=kind)
    attempt, _ = Attempt.objects.get_or_create(job=job, number=number)
    return attempt
