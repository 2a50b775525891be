"""What an event causes: the named effects of the table in `transitions.py`.

Each takes the locked run and the event. Outgoing effects (a worker's bell, a task) happen on commit.
"""

from __future__ import annotations

from django.db.models import Q
from django.utils import timezone

from splitcore.errors import AppError
from webapp.core.live import wake_worker
from webapp.core.queueing import enqueue_on_commit
from webapp.jobs.services import halves_gone, halves_reopen, halves_want, others_drop
from webapp.runs.availability import parties_check, refusals_check
from webapp.runs.life.events import Event
from webapp.runs.life.failing import failure_of, is_consequence
from webapp.runs.life.recovering import can_continue, checkpoint_step, from_checkpoint, in_vain
from webapp.runs.models import ApprovalState, DesiredState, ParticipantRole, Run, RunState
from webapp.runs.timeline import run_announce, timeline_event
from workers.contracts import HubEvent, Phase

JOIN, PACKAGE = "webapp.runs.tasks.join", "webapp.runs.tasks.package"  # by name: the tasks import this package
ATTEMPT_GAP = 100  # more attempts than a part makes between two backups


# ── Preconditions: raise if the event can't be accepted now ─────────────────────────────────────────────────────────


def parties_are_available(run: Run, event: Event) -> None:
    """Raise CL-1003, CL-1004, CL-1006 or CL-1223 if a party is unavailable now, whoever asks."""
    parties_check(run)


def no_part_refuses(run: Run, event: Event) -> None:
    """Raise CL-1423, CL-1509 or CL-1514 if a site's latest verdict on the contract, since its approval, is no."""
    refusals_check(run, "started")


def parts_are_wanted(run: Run, event: Event) -> None:
    """Raise CL-1504 if the run's parts are no longer wanted."""
    if run.desired not in (DesiredState.RUNNING, DesiredState.PAUSED):
        raise AppError("CL-1504")


def checkpoints_are_kept(run: Run, event: Event) -> None:
    """Raise CL-1501 if the workers have no checkpoints to continue from."""
    if not can_continue(run):
        raise AppError("CL-1501", "The run has no checkpoints to resume from.", "Clone the run to start over.")


# ── What is wanted, and whose bell is rung ────────────────────────────────────────────────────────────────────────


def wake_participants(run: Run, reason: str) -> None:
    """Ring the bell of every worker in the run."""
    for worker_id in set(run.participants.values_list("worker_id", flat=True)):
        wake_worker(worker_id, reason)


def _want(run: Run, desired: DesiredState) -> None:
    run.desired = desired
    run.save(update_fields=["desired", "updated_at"])
    wake_participants(run, desired.value)


def want_running(run: Run, event: Event) -> None:
    """Tell the workers to train, and ring their bells."""
    _want(run, DesiredState.RUNNING)


def want_paused(run: Run, event: Event) -> None:
    """Tell the workers to pause after their current step, and ring their bells."""
    _want(run, DesiredState.PAUSED)


def want_stopped(run: Run, event: Event) -> None:
    """Tell the workers to end their processes, and ring their bells."""
    _want(run, DesiredState.STOPPED)


def want_as_before(run: Run, event: Event) -> None:
    """Keep what is wanted, and ring the workers' bells."""
    _want(run, DesiredState(run.desired))


def want_nothing_more(run: Run, event: Event) -> None:
    """The run has ended or never started: nothing is wanted of the workers, and no bell is rung."""
    run.desired = DesiredState.STOPPED
    run.save(update_fields=["desired", "updated_at"])


def ask_for_verdicts(run: Run, event: Event) -> None:
    """Ask every worker to judge the contract by its site's policy."""
    wake_participants(run, "review")


def tell_of_withdrawal(run: Run, event: Event) -> None:
    """No worker has to judge, measure or wait for the run any longer."""
    wake_participants(run, "withdrawn")


def tell_workers_of_restore(run: Run, event: Event) -> None:
    """Make every worker request its assignments again."""
    wake_participants(run, "restored")


def announce(run: Run, event: Event) -> None:
    """Notify everyone who has the run open."""
    run_announce(run)


def ring_join(run: Run, event: Event) -> None:
    """The hub's own Celery joins the segments; the sweep rings again where this is lost."""
    enqueue_on_commit(JOIN, run.id)


# ── Contract and approvals ────────────────────────────────────────────────────────────────────────────────────────


def keep_approved_contract(run: Run, event: Event) -> None:
    """Store this contract as the last one that all approved, to compare later ones with."""
    run.approved_contract = run.contract
    run.save(update_fields=["approved_contract", "updated_at"])


def void_approvals(run: Run, event: Event) -> None:
    """Void decisions and verdicts, end what is measured for them; keep the old text for the comparison."""
    others_drop(run.participants.values_list("id", flat=True))
    if run.approvals.filter(contract_hash=run.contract_hash, decided_at__isnull=False).exists():
        run.approved_contract = run.contract
    run.approvals.filter(state__in=[ApprovalState.PENDING, ApprovalState.APPROVED]).update(state=ApprovalState.VOIDED)
    run.contract = run.contract_hash = ""
    run.save(update_fields=["approved_contract", "contract", "contract_hash", "updated_at"])
    run.participants.update(policy_verdict=None)


# ── Failure ───────────────────────────────────────────────────────────────────────────────────────────────────────


def note_cause(run: Run, event: Event) -> None:
    """Store the first cause, or one that explains it; a stop requested by people has none."""
    assert event.error is not None
    known = run.failure
    explains = known is not None and is_consequence(known["code"]) and not is_consequence(event.error.code)
    stopped_by_people = known is None and run.state == RunState.STOPPING
    if (known is not None or stopped_by_people) and not explains:
        return
    run.failure = {**failure_of(event.error, event.participant, event.phase), "told": event.told}
    run.save(update_fields=["failure", "updated_at"])
    timeline_event(run, HubEvent.RUN_FAILING, event.error.message, error=event.error, participant=event.participant)


def note_hold(run: Run, event: Event) -> None:
    """Store why the halves wait for people, and which party is responsible."""
    assert event.error is not None
    run.failure = {**failure_of(event.error, event.participant, "training"), "told": event.told}
    run.save(update_fields=["failure", "updated_at"])


def note_quarantine(run: Run, event: Event) -> None:
    """Store which worker the run waits for, and whether it continues automatically once that is released."""
    assert event.error is not None
    resumes = bool((run.failure or {}).get("resumes")) if run.state == RunState.PAUSED else True
    run.failure = failure_of(event.error, event.participant, "") | {"resumes": resumes}
    run.save(update_fields=["failure", "updated_at"])


def note_unconfirmed_stop(run: Run, event: Event) -> None:
    """Note who hasn't confirmed that its process is gone; this is the failure if there is no other."""
    assert event.error is not None
    if run.failure is None:
        run.failure = failure_of(event.error, event.participant, "stopping")
        run.save(update_fields=["failure", "updated_at"])
    timeline_event(run, HubEvent.STOP_UNCONFIRMED, event.error.message, error=event.error)


def forget_failure(run: Run, event: Event) -> None:
    """The run continues: clear what held it."""
    run.failure = None
    run.save(update_fields=["failure", "updated_at"])


# ── Attempts ──────────────────────────────────────────────────────────────────────────────────────────────────────


def renew_parts(run: Run, event: Event) -> None:
    """Request another attempt of every claimed part. A part that reported its end has nothing left to confirm."""
    parts = run.participants.exclude(role=ParticipantRole.EVALUATOR).filter(attempt__gt=0)
    wanted = {part.id: max(part.attempt + 1, part.wanted_attempt) for part in parts}  # far above after a restore
    halves_want(wanted)
    halves_reopen(wanted)
    parts.update(error=None, address="", phase=Phase.WAITING.value, phase_since=timezone.now())


def count_recovery(run: Run, event: Event) -> None:
    """Count a recovery that hasn't led to a new step yet."""
    run.recoveries_in_vain, run.recovered_at_step = in_vain(run), run.step
    run.recoveries += 1
    run.save(update_fields=["recoveries", "recoveries_in_vain", "recovered_at_step", "updated_at"])


def begin_again(run: Run, event: Event) -> None:
    """People resume an ended run: clear its failure and the count of vain recoveries."""
    run.failure, run.recoveries_in_vain, run.recovered_at_step = None, 0, run.step
    run.recoveries += 1
    run.save(update_fields=["failure", "recoveries", "recoveries_in_vain", "recovered_at_step", "updated_at"])


def count_restart(run: Run, event: Event) -> None:
    """The parts start again, through no fault of their own."""
    run.recoveries += 1
    run.save(update_fields=["recoveries", "updated_at"])


def free_unclaimed_parts(run: Run, event: Event) -> None:
    """Workers that never claimed their part, or no longer have it, have nothing to stop."""
    waiting = [part for part in run.participants.all() if part.awaits_claim and not part.outcome]
    halves_gone(part.id for part in waiting if part.attempt == 0)
    free = [part.id for part in waiting if part.attempt == 0 or part.stop_confirmed_at is not None]
    run.participants.filter(id__in=free).update(phase=Phase.STOPPED.value, phase_since=timezone.now())


def end_checks(run: Run, event: Event) -> None:
    """Workers that still load or evaluate the adapter are too late: the run has ended."""
    checking = Q(phase__in=[Phase.VERIFYING, Phase.EVALUATING])
    run.participants.filter(checking).update(phase=Phase.DONE.value, phase_since=timezone.now())


def forget_parts(run: Run, event: Event) -> None:
    """After a restore: what the parts did since the backup is unknown."""
    parts = run.participants.exclude(role=ParticipantRole.EVALUATOR)
    parts.update(error=None, address="", phase=Phase.WAITING.value, phase_since=timezone.now())
    halves_reopen(part.id for part in parts)


def raise_attempts(run: Run, event: Event) -> None:
    """After a restore: new attempts start far above those on record, because more may have been issued since."""
    parts = run.participants.exclude(role=ParticipantRole.EVALUATOR)
    halves_want({part.id: part.attempt + ATTEMPT_GAP for part in parts})


# ── The timeline ──────────────────────────────────────────────────────────────────────────────────────────────────


def tell_recovering(run: Run, event: Event) -> None:
    """The parts start again, and the run's state does not show it."""
    detail = recovery_words(run, event)
    timeline_event(run, HubEvent.RUN_RECOVERING, detail, error=event.error, participant=event.participant)


def tell_held(run: Run, event: Event) -> None:
    """A run that is paused already is held for a quarantine too."""
    detail = event.error.message if event.error else ""
    timeline_event(run, HubEvent.RUN_HELD, detail, error=event.error, participant=event.participant)


def tell_released(run: Run, event: Event) -> None:
    """A worker was released, and the run stays paused."""
    timeline_event(run, HubEvent.RUN_RELEASED, event.detail, error=event.error)


def tell_still_paused(run: Run, event: Event) -> None:
    """A worker was released, and the run was paused before."""
    timeline_event(run, HubEvent.RUN_RELEASED, f"{event.detail} The run stays paused, as it was before.")


def tell_gave_way(run: Run, event: Event) -> None:
    """The run waits for an older one."""
    timeline_event(run, HubEvent.RUN_GAVE_WAY, event.detail)


def tell_restored(run: Run, event: Event) -> None:
    """The hub was restored from a backup."""
    timeline_event(run, HubEvent.HUB_RESTORED, restore_words(run, event))


def error_words(run: Run, event: Event) -> str:
    """The error's message."""
    return event.error.message if event.error else event.detail


def failure_words(run: Run, event: Event) -> str:
    """The message of the recorded failure."""
    return str((run.failure or {}).get("message", ""))


def recovery_words(run: Run, event: Event) -> str:
    """What was lost, where, and the step from which the parts continue."""
    assert event.error is not None
    assert event.participant is not None
    where = f"{event.error.message.rstrip('.')} at {event.participant.organisation.name}"
    return f"{where}. {from_checkpoint(run)}, attempt {run.recoveries + 1}."


def resumption_words(run: Run, event: Event) -> str:
    """Who resumed the run, and the step from which the parts continue."""
    return f"{event.detail} {from_checkpoint(run)}, attempt {run.recoveries + 1}."


def restore_words(run: Run, event: Event) -> str:
    """That the hub was restored, and the step from which the parts continue."""
    step = checkpoint_step(run)
    return "The hub was restored from a backup." + (f" Every part continues from step {step} or later." if step else "")
