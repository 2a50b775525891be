"""After a lost half: every part is started again from the newest checkpoints that all hold, without failing the run."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import F
from django.db.models.functions import Greatest
from django.utils import timezone

from splitcore.errors import AppError
from webapp.fleet.models import WorkerState
from webapp.runs.lifecycle.failing import CONSEQUENCES, failure_of, source_of, training_parts
from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState
from webapp.runs.services.control import want
from webapp.runs.services.parties import parties_check
from webapp.runs.states import TRAINS, run_announce, run_move
from webapp.runs.timeline import timeline_event
from workers.contracts import CHECKPOINT_DAYS, ErrorInfo, Phase

# What a new attempt may well not meet again: a killed or vanished process, a worker that was shut down, a lost link.
RECOVERABLE = CONSEQUENCES | {"CL-1520", "CL-1522", "CL-1523"}
# Every half has saved its state and waits for people.
HELD = frozenset({"CL-1532", "CL-1534"})
# What a process that was to end anyway may say without ending the run.
EXPECTED = RECOVERABLE | HELD | {"CL-1306", "CL-1503"}
MOST_IN_VAIN = 3  # recoveries with no new step between them


def can_recover(run: Run, error: ErrorInfo) -> bool:
    """Whether a half's end is no reason yet to give the run up."""
    wanted = run.desired in (DesiredState.RUNNING, DesiredState.PAUSED) and run.state in TRAINS
    return wanted and error.code in RECOVERABLE and _in_vain(run) <= MOST_IN_VAIN


def _in_vain(run: Run) -> int:
    """How many recoveries without a new step the next one would make."""
    return 1 if run.step > run.recovered_at_step else run.recoveries_in_vain + 1


def run_recover(run: Run, error: ErrorInfo, *, participant: Participant) -> None:
    """Ask every worker of a locked run for a new attempt; what an older one still does or says is over."""
    run.recoveries_in_vain, run.recovered_at_step = _in_vain(run), run.step
    run.recoveries += 1
    run.save(update_fields=["recoveries", "recoveries_in_vain", "recovered_at_step", "updated_at"])
    parts_renew(run)
    detail = (
        f"{error.message.rstrip('.')} at {participant.organisation.name}. {_from(run)}, attempt {run.recoveries + 1}."
    )
    if run.state == RunState.PAUSED:
        timeline_event(run, "run.recovering", detail, error=error, participant=participant)
        run_announce(run)
    elif run.state != RunState.RECOVERING:
        run_move(run, RunState.RECOVERING, detail=detail, participant=participant, error=error)
    else:
        timeline_event(run, "run.recovering", detail, error=error, participant=participant)
    want(run, DesiredState(run.desired))


def run_hold(run: Run, error: ErrorInfo, *, participant: Participant) -> None:
    """Pause a locked run for values that were not finite, or a late part, and say whose. Resuming starts all again."""
    source = source_of(run, error.code, participant)
    run.failure = {**failure_of(error, source.participant, "training"), "told": source.told}
    run.save(update_fields=["failure", "updated_at"])
    parts_renew(run)
    if run.state != RunState.PAUSED:
        run_move(run, RunState.PAUSED, detail=error.message, participant=source.participant, error=error)
    want(run, DesiredState.PAUSED)


def _from(run: Run) -> str:
    step = checkpoint_step(run)
    return f"Every part goes on from step {step}" if step else "Every part starts again"


def parts_renew(run: Run) -> None:
    """Want one more attempt of every part that was taken up. One that has said its end has nothing left to confirm."""
    parts = run.participants.exclude(role=ParticipantRole.EVALUATOR).filter(attempt__gt=0)
    parts.update(
        wanted_attempt=Greatest(F("attempt") + 1, F("wanted_attempt")),  # far above after a restore
        outcome="",
        error=None,
        address="",
        phase=Phase.WAITING.value,
        phase_since=timezone.now(),
    )


def checkpoint_step(run: Run) -> int:
    """The newest step that every part has told to hold a checkpoint of; 0 where one has told none."""
    return min((int(part.metrics.get("checkpoint_step") or 0) for part in training_parts(run)), default=0)


def can_continue(run: Run) -> bool:
    """Whether an ended run can be taken up again: its workers are admitted and still hold their checkpoints."""
    until = kept_until(run)
    if until is None or run.is_archived or timezone.now() >= until:
        return False
    return all(part.worker.state == WorkerState.ACTIVE for part in training_parts(run))


def kept_until(run: Run) -> datetime | None:
    """Until when the workers of a failed or stopped run keep its checkpoints; None where there is none."""
    if run.state not in (RunState.FAILED, RunState.STOPPED) or run.ended_at is None or not checkpoint_step(run):
        return None
    return run.ended_at + timedelta(days=CHECKPOINT_DAYS)


def run_continue(run: Run, *, detail: str) -> None:
    """Take a locked, failed or stopped run up again from its checkpoints. Raises CL-1501 where they are gone.

    Raises CL-1003, CL-1004 or CL-1006 where a party is not available now.
    """
    parties_check(run)
    if not can_continue(run):
        raise AppError("CL-1501", "The run has no checkpoints to go on from.", "Clone the run to start it anew.")
    run.failure, run.recoveries_in_vain, run.recovered_at_step = None, 0, run.step
    run.recoveries += 1
    run.save(update_fields=["failure", "recoveries", "recoveries_in_vain", "recovered_at_step", "updated_at"])
    parts_renew(run)
    run_move(run, RunState.RECOVERING, detail=f"{detail} {_from(run)}, attempt {run.recoveries + 1}.")
    want(run, DesiredState.RUNNING)
