"""Start, pause, resume, stop and archive: changes of what the people want of a run."""

from __future__ import annotations

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.orgs.permissions import Action, require
from webapp.runs.life.apply import run_apply, run_expect
from webapp.runs.life.events import Event, Happening
from webapp.runs.locking import run_lock
from webapp.runs.models import Run, RunState
from webapp.runs.permissions import (
    can_resume_run,
    can_start_run,
    held_by_of,
    require_stop,
    resume_why_not,
    stops_for,
)
from webapp.runs.states import LIVE
from webapp.runs.timeline import run_announce, timeline_event
from workers.contracts import HubEvent

REASON = 300  # letters of a reason, as the REST API takes it


def _audit(actor: User, run: Run, action: str, reason: str = "") -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=run.organisation_id,
        project_id=run.project_id,
        object_id=run.id,
        details={"reason": reason} if reason else {},
    )


@service
def run_start(*, actor: User, run: Run) -> Run:
    """Start an approved run."""
    require(actor, Action.CONTROL_RUN, run.organisation)
    run = run_lock(run.id)
    run_apply(run, Event(Happening.STARTED))
    _audit(actor, run, "run.started")
    return run


@service
def run_pause(*, actor: User, run: Run) -> Run:
    """Ask every worker to hold after its current step."""
    require_stop(actor, run)
    run = run_lock(run.id)
    run_apply(run, Event(Happening.PAUSED, f"Paused by {actor}."))
    _hold(run, actor)
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
    run_expect(run, Happening.RESUMED)
    if not _release(run, actor):
        return run
    run_apply(run, Event(Happening.RESUMED, f"Resumed by {actor}."))
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
    timeline_event(
        run, HubEvent.RUN_RELEASED, f"Resumed by {actor}. The run is still waiting for {others}, who also stopped it."
    )
    _audit(actor, run, "run.released")
    run_announce(run)
    return False


@service
def run_stop(*, actor: User, run: Run, reason: str = "") -> Run:
    """Stop a run: at once where nothing runs yet, else when each worker has confirmed it."""
    require_stop(actor, run)
    run = run_lock(run.id)
    reason = reason.strip()[:REASON]
    _hold(run, actor)
    verb = "Stopped" if run.state in LIVE else "Withdrawn"
    why = f"{verb} by {actor}." + (f" {reason}" if reason else "")
    if run_apply(run, Event(Happening.STOPPED, why)):
        if run.state == RunState.STOPPED:
            _note_withdrawal(run, actor, reason)
        _audit(actor, run, "run.stopped", reason)
    return run


def _note_withdrawal(run: Run, actor: User, reason: str) -> None:
    """Who took a run back before it started: its page and the inbox of its owner say so."""
    own = next(iter(stops_for(actor, run)), run.organisation)
    note = {"by": str(actor), "organisation": own.name, "by_owner": own == run.organisation, "reason": reason}
    run.summary = {**run.summary, "withdrawn": note}
    run.save(update_fields=["summary", "updated_at"])


@service
def run_archive(*, actor: User, run: Run, archived: bool = True) -> Run:
    """Take an ended or draft run out of the lists, or bring it back. Nothing is deleted."""
    require(actor, Action.CONFIGURE_RUN, run.organisation)
    run = run_lock(run.id)
    run_expect(run, Happening.ARCHIVED)
    run.is_archived = archived
    run.save(update_fields=["is_archived", "updated_at"])
    _audit(actor, run, "run.archived" if archived else "run.unarchived")
    return run


@service
def run_delete(*, actor: User, run: Run) -> None:
    """Delete a draft that no other organisation has seen; the log keeps its name. Raises CL-1501 for any other run."""
    require(actor, Action.CONFIGURE_RUN, run.organisation)
    run = run_lock(run.id)
    run_expect(run, Happening.DELETED)
    if run.approvals.exists():
        raise AppError(
            "CL-1501",
            "This draft was submitted before. What others decided is kept, so it can't be deleted.",
            "Archive it instead.",
        )
    run_announce(run)
    audit_record(
        actor=actor,
        action="run.deleted",
        organisation_id=run.organisation_id,
        project_id=run.project_id,
        object_id=run.id,
        details={"name": run.name},
    )
    run.delete()
