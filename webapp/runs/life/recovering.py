"""What a run can recover from, and at which step: the newest checkpoints that all parts hold."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from webapp.fleet.models import WorkerState
from webapp.jobs.selectors import checkpoint_steps
from webapp.runs.life.failing import training_parts
from webapp.runs.models import Run, RunState
from workers.contracts import CHECKPOINT_DAYS

MOST_IN_VAIN = 3  # recoveries with no new step between them


def in_vain(run: Run) -> int:
    """The count of recoveries without a new step, including the next one."""
    return 1 if run.step > run.recovered_at_step else run.recoveries_in_vain + 1


def from_checkpoint(run: Run) -> str:
    """The step from which the parts continue, in words."""
    step = checkpoint_step(run)
    return f"Every part continues from step {step}" if step else "Every part starts again"


def checkpoint_step(run: Run) -> int:
    """The newest step of which every part reported a checkpoint; 0 if one reported none."""
    parts = [part.id for part in training_parts(run)]
    told = checkpoint_steps(parts)
    return min((told.get(part, 0) for part in parts), default=0)


def can_continue(run: Run) -> bool:
    """Whether an ended run can be resumed: its workers are admitted and still hold their checkpoints."""
    until = kept_until(run)
    if until is None or run.is_archived or timezone.now() >= until:
        return False
    return all(part.worker.state == WorkerState.ACTIVE for part in training_parts(run))


def kept_until(run: Run) -> datetime | None:
    """Until when the workers of a failed or stopped run keep its checkpoints; None if there are none."""
    if run.state not in (RunState.FAILED, RunState.STOPPED) or run.ended_at is None or not checkpoint_step(run):
        return None
    return run.ended_at + timedelta(days=CHECKPOINT_DAYS)
