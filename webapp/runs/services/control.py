"""Start, pause, resume, stop and archive: changes of what the people want of a run."""

from __future__ import annotations

from django.db.models import F
from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.live import wake_worker
from webapp.core.transactions import service
from webapp.orgs.permissions import Action, require
from webapp.runs.locking import run_lock
from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState
from webapp.runs.permissions import (
    can_resume_run,
    can_start_run,
    held_by_of,
    require_stop,
    resume_why_not,
    stops_for,
)
from webapp.runs.services.parties import parties_check
from webapp.runs.states import ENDED, run_announce, run_move
from webapp.runs.timeline import timeline_event
from workers.contracts import Phase


def wake_participants(run: Run, reason: str) -> None:
    """Ring the bell of every worker in the run."""
    for worker_id in set(run.participants.values_list("worker_id", flat=True)):
        wake_worker(worker_id, reason)


def want(run: Run, desired: DesiredState) -> None:
    """Store what is wanted of a locked run and ring its workers."""
    run.desired = desired
    run.save(update_fields=["desired", "updated_at"])
    wake_participants(run, desired.value)


def _audit(actor: User, run: Run, action: str, reason: str = "") -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=run.organisation_id,
        project_id=run.project_id,
        object_id=run.id,
        details={"reason": reason} if reason else {},
    )


def start_locked(run: Run) -> None:
    """Start a locked, approved run, provided that what it uses is still available."""
    parties_check(run)
    run_move(run, RunState.STARTING, detail="Workers are asked to take up their parts.")
    want(run, DesiredState.RUNNING)


@service
def run_start(*, actor: User, run: Run) -> Run:
    """Start an approved run."""
    require(actor, Action.CONTROL_RUN, run.organisation)
    run = run_lock(run.id)
    if run.state != RunState.APPROVED:
        raise AppError("CL-1501", "Only an approved run can be started.")
    start_locked(run)
    _audit(actor, run, "run.started")
    return run


@service
def run_pause(*, actor: User, run: Run) -> Run:
    """Ask every worker to hold after its current step."""
    require_stop(actor, run)
    run = run_lock(run.id)
    run_move(run, RunState.PAUSED, detail=f"Paused by {actor}.")
    _hold(run, actor)
    want(run, DesiredState.PAUSED)
    _audit(actor, run, "run.paused")
    return run


@service
def run_resume(*, actor: User, run: Run) -> Run:
    """Let a paused run go on, or one that failed or was stopped from its checkpoints.

    Who paused or stopped it has to agree: where several organisations did, it goes on with the last one's word. Raises
    CL-1515 where the person speaks for none of them.
    """
    run = run_lock(run.id)
    if not can_resume_run(actor, run):
        if why := can_start_run(actor, run) and resume_why_not(actor, run):
            raise AppError("CL-1515", why)
        require(actor, Action.CONTROL_RUN, run.organisation)
    if run.state not in (RunState.FAILED, RunState.STOPPED, RunState.PAUSED):
        raise AppError("CL-1501", "Only a paused, stopped or failed run can be resumed.")
    if not _release(run, actor):
        return run
    if run.state != RunState.PAUSED:
        from webapp.runs.lifecycle.recovering import run_continue  # it asks for stops through this module

        run_continue(run, detail=f"Resumed by {actor}.")
    else:
        resume_locked(run, f"Resumed by {actor}.")
    _audit(actor, run, "run.resumed")
    return run


def _hold(run: Run, actor: User) -> None:
    """Remember for which organisation a person pauses or stops a locked run: nobody else takes that back."""
    own = next(iter(stops_for(actor, run)), run.organisation).id  # its stewards stop a run that they may not start
    if own not in run.held_by:
        run.held_by = [*run.held_by, own]
        run.save(update_fields=["held_by", "updated_at"])


def _release(run: Run, actor: User) -> bool:
    """Take back what the actor's organisations hold of a locked run; whether it may go on."""
    own = {organisation.id for organisation in stops_for(actor, run)}
    run.held_by = [one for one in run.held_by if one not in own]
    run.save(update_fields=["held_by", "updated_at"])
    if not run.held_by:
        return True
    others = " and ".join(organisation.name for organisation in held_by_of(run))
    timeline_event(run, "run.released", f"Resumed by {actor}. The run still waits for {others}, who stopped it too.")
    _audit(actor, run, "run.released")
    run_announce(run)
    return False


def resume_locked(run: Run, detail: str) -> None:
    """Let a locked, paused run go on; it recovers where a part has to be taken up again.

    Raises CL-1003, CL-1004 or CL-1006 where a party is not available now, whoever asks.
    """
    parties_check(run)
    waits = any(part.awaits_claim for part in run.participants.exclude(role=ParticipantRole.EVALUATOR))
    run.failure = None
    run.save(update_fields=["failure", "updated_at"])
    run_move(run, RunState.RECOVERING if waits else RunState.TRAINING, detail=detail)
    want(run, DesiredState.RUNNING)


def gone(participant: Participant) -> bool:
    """Whether a participant surely has no process: it has not (yet) claimed its part, or has reported its exit."""
    waits = participant.attempt == 0 or (participant.awaits_claim and participant.stop_confirmed_at is not None)
    return bool(participant.outcome) or waits


def stop_if_all_gone(run: Run) -> bool:
    """Finish a locked, stopping run once every worker has said that its process is gone."""
    if run.state != RunState.STOPPING or not all(gone(p) for p in run.participants.all()):
        return False
    if run.failure:
        run_move(run, RunState.FAILED, detail=str(run.failure.get("message", "")))
    else:
        run_move(run, RunState.STOPPED, detail="Every worker has confirmed that its process is gone.")
    return True


def stop_locked(run: Run, detail: str) -> None:
    """Ask every worker of a locked run to stop; workers that never took up their part have nothing to stop."""
    run_move(run, RunState.STOPPING, detail=detail)
    want(run, DesiredState.STOPPED)
    now = timezone.now()
    waiting = run.participants.filter(outcome="", attempt__lt=F("wanted_attempt"))
    waiting.filter(attempt=0).update(stop_confirmed_at=now)
    waiting.filter(stop_confirmed_at__isnull=False).update(phase=Phase.STOPPED.value, phase_since=now)
    stop_if_all_gone(run)


@service
def run_stop(*, actor: User, run: Run, reason: str = "") -> Run:
    """Stop a run: at once where nothing runs yet, else when each worker has confirmed it."""
    require_stop(actor, run)
    run = run_lock(run.id)
    _hold(run, actor)
    why = f"Stopped by {actor}." + (f" {reason.strip()}" if reason.strip() else "")
    if run.state in (RunState.AWAITING, RunState.APPROVED):
        run.desired = DesiredState.STOPPED
        run.save(update_fields=["desired", "updated_at"])
        run_move(run, RunState.STOPPED, detail=why)
        wake_participants(run, "withdrawn")
    elif run.state == RunState.STOPPING:
        return run
    else:
        stop_locked(run, why)
    _audit(actor, run, "run.stopped", reason)
    return run


@service
def run_archive(*, actor: User, run: Run, archived: bool = True) -> Run:
    """Take an ended or draft run out of the lists, or bring it back. Nothing is deleted."""
    require(actor, Action.CONFIGURE_RUN, run.organisation)
    run = run_lock(run.id)
    if run.state not in ENDED | {RunState.DRAFT, RunState.DECLINED}:
        raise AppError("CL-1501", "A run that is under way cannot be archived.", "Stop it first.")
    run.is_archived = archived
    run.save(update_fields=["is_archived", "updated_at"])
    _audit(actor, run, "run.archived" if archived else "run.unarchived")
    return run
