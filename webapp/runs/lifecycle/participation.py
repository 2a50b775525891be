"""A worker's part: its verdict on the contract, its claim (the fence), its address, its exit."""

from __future__ import annotations

from typing import Any, Literal

from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.core.queueing import enqueue_on_commit
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.runs.lifecycle.access import attempt_adopt, attempt_check, fence, part_lock, started_check
from webapp.runs.lifecycle.failing import run_fail
from webapp.runs.lifecycle.recovering import EXPECTED, HELD, can_recover, run_hold, run_recover
from webapp.runs.lifecycle.turns import has_turn, next_turn
from webapp.runs.locking import run_lock
from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState
from webapp.runs.services.approvals import approve_if_complete
from webapp.runs.services.control import stop_if_all_gone, wake_participants
from webapp.runs.states import LIVE, TRAINS, run_announce, run_move
from webapp.runs.timeline import error_info, timeline_event
from workers.contracts import SITE_APPROVAL, Claim, ClaimReply, Desired, Exit, Phase, PolicyVerdict, Ready

TOLD_VERDICTS = 5  # of one kind, for one part and contract: a worker that changes its mind for ever fills no log
_CLAIMED = ["attempt", "address", "step", "stop_confirmed_at", "last_beat_at", "phase", "phase_since", "updated_at"]
_EXITED = ["outcome", "error", "stop_confirmed_at", "metrics", "phase", "phase_since", "updated_at"]


def phase_set(participant: Participant, phase: Phase) -> bool:
    """Give a participant another phase (unsaved); whether it changed."""
    if participant.phase == phase.value:
        return False
    participant.phase, participant.phase_since = phase.value, timezone.now()
    return True


@service
def verdict_record(*, worker: Worker, run_id: str, verdict: PolicyVerdict) -> Participant:
    """Store what the site's own policy says of the contract. A refusal keeps the run from being approved."""
    run, participant = part_lock(worker, run_id, verdict.participant_id)
    if verdict.contract_hash != run.contract_hash:
        raise AppError("CL-1502")
    before = participant.policy_verdict
    waits = bool(verdict.refusals) and all(refusal.field == SITE_APPROVAL for refusal in verdict.refusals)
    told = dict((before or {}).get("told", {}))
    participant.policy_verdict = {
        "accepted": verdict.accepted,
        "waiting": waits and not verdict.accepted,
        "refusals": [refusal.model_dump() for refusal in verdict.refusals],
        "at": timezone.now().isoformat(),
        "told": told,
    }
    word = _outcome(participant.policy_verdict)
    changed = not before or _outcome(before) != word  # else the reasons may differ
    is_told = changed and told.get(word, 0) < TOLD_VERDICTS
    told[word] = told.get(word, 0) + is_told
    participant.save(update_fields=["policy_verdict", "updated_at"])
    if is_told:
        _tell_verdict(run, participant, word)
        audit_record(
            actor=worker,
            action=f"policy.{word}",
            organisation_id=worker.organisation_id,
            project_id=run.project_id,
            object_id=run.id,
            details={"contract_hash": verdict.contract_hash, **_refusals_in_short(verdict)},
        )
    if not changed:
        run_announce(run)
        return participant
    if not approve_if_complete(run):
        run_announce(run)
    return participant


def _refusals_in_short(verdict: PolicyVerdict) -> dict[str, Any]:
    """A verdict's refusals as its entry has them: the log keeps everything for ever, so a worker fills no page."""
    short = [{"field": one.field, "message": one.message[:200]} for one in verdict.refusals[:10]]
    more = len(verdict.refusals) - len(short)
    return {"refusals": short, **({"more": more} if more else {})}


def _outcome(verdict: dict[str, Any]) -> Literal["accepted", "waiting", "refused"]:
    if verdict["accepted"]:
        return "accepted"
    return "waiting" if verdict.get("waiting") else "refused"


def _tell_verdict(run: Run, participant: Participant, word: Literal["accepted", "waiting", "refused"]) -> None:
    name = participant.worker.name
    reasons = " ".join(refusal["message"] for refusal in (participant.policy_verdict or {})["refusals"])[:500]
    sentence = {
        "accepted": f"The policy of {name} accepts the contract.",
        "waiting": f"{name} waits for the approval of its own site.",
        "refused": f"The policy of {name} refuses the contract. {reasons}",
    }[word]
    error = error_info("CL-1509", f"{name} refuses: {reasons}"[:600]) if word == "refused" else None
    timeline_event(run, f"policy.{word}", sentence, error=error, participant=participant)


@service
def participant_claim(*, worker: Worker, run_id: str, claim: Claim) -> ClaimReply:
    """Give a job its part and the next attempt number; every message of an older one is refused from here on."""
    run, participant = part_lock(worker, run_id, claim.participant_id)
    if claim.contract_hash != run.contract_hash:
        raise AppError("CL-1502")
    wanted = run.desired in (DesiredState.RUNNING, DesiredState.PAUSED) and run.state in LIVE
    if not wanted or participant.outcome or participant.role == ParticipantRole.EVALUATOR:
        raise AppError("CL-1504")
    if not has_turn(participant):
        raise AppError("CL-1511")
    attempt = max(participant.attempt, participant.wanted_attempt - 1, claim.highest_attempt) + 1
    attempt_check(participant, attempt)
    participant.attempt = attempt
    participant.address, participant.step, participant.stop_confirmed_at = "", 0, None
    participant.last_beat_at = timezone.now()
    phase_set(participant, Phase.STARTING)
    participant.save(update_fields=_CLAIMED)
    next_turn(participant)
    timeline_event(
        run,
        "participant.claimed",
        f"{worker.name} took up its part (attempt {participant.attempt}).",
        participant=participant,
    )
    run_announce(run)
    return ClaimReply(attempt=participant.attempt, desired=Desired(run.desired))


@service
def server_ready(*, worker: Worker, run_id: str, ready: Ready) -> Participant:
    """Store where the server half listens, and wake the clients that wait for it."""
    run, participant = part_lock(worker, run_id, ready.participant_id)
    fence(participant, ready.attempt)
    if participant.role != ParticipantRole.SERVER:
        raise AppError("CL-1504", "Only the compute organisation's part listens for others.")
    participant.address = f"{ready.host}:{ready.port}"
    participant.save(update_fields=["address", "updated_at"])
    timeline_event(run, "server.ready", f"{worker.name} listens for the data organisations.", participant=participant)
    wake_participants(run, "peer")
    return participant


@service
def participant_exit(*, worker: Worker, run_id: str, exit_: Exit) -> Participant:
    """Record that a half's process is gone. Repeating it changes nothing; an older attempt's is refused."""
    run, participant = part_lock(worker, run_id, exit_.participant_id)
    started_check(run, participant, exit_.attempt)
    attempt_adopt(run, participant, exit_.attempt)
    fence(participant, exit_.attempt)
    told_before = participant.awaits_claim and participant.stop_confirmed_at is not None
    if participant.outcome or (told_before and not _is_own_failure(exit_)):
        return participant
    phase_before = participant.phase
    interrupted = participant.awaits_claim and run.state in TRAINS and not _is_own_failure(exit_)
    participant.stop_confirmed_at = timezone.now()
    if exit_.checkpoint_step is not None:
        participant.metrics = {**participant.metrics, "checkpoint_step": exit_.checkpoint_step}
    if interrupted:
        phase_set(participant, Phase.WAITING)
    else:
        participant.outcome = exit_.outcome
        participant.error = exit_.error.model_dump() if exit_.error else None
        phase_set(participant, Phase(exit_.outcome))
    participant.save(update_fields=_EXITED)
    timeline_event(
        run,
        f"participant.{exit_.outcome}",
        f"The process of {worker.name} is gone.",
        error=exit_.error,
        participant=participant,
    )
    if not interrupted:
        _after_exit(run, participant, exit_, phase_before)
    next_turn(participant)
    run_announce(run)
    return participant


def _is_own_failure(exit_: Exit) -> bool:
    """Whether a process that was to end anyway names a trouble that the next attempt would meet again."""
    return exit_.outcome == "failed" and exit_.error is not None and exit_.error.code not in EXPECTED


def runs_lock(worker: Worker) -> None:
    """Lock every run that a worker has a part in and that has not ended, in one order, before the worker's own row.

    Those that wait for their start are among them: none can start with a worker that is being shut out.
    """
    open_states = [*LIVE, RunState.AWAITING, RunState.APPROVED]
    runs = Run.objects.filter(participants__worker=worker, state__in=open_states).order_by("id")
    for run_id in list(runs.values_list("id", flat=True).distinct()):
        run_lock(run_id)


@service
def worker_shut_out(*, worker: Worker) -> None:
    """A worker was revoked or has left: whatever it says from now on is refused, so its live runs fail with that.

    The caller has locked the runs (`runs_lock`) and then the worker.
    """
    live = Participant.objects.filter(worker=worker, run__state__in=LIVE, outcome="").exclude(
        role=ParticipantRole.EVALUATOR
    )
    for run_id, participant_id in list(live.order_by("run_id", "id").values_list("run_id", "id")):
        run, participant = part_lock(worker, run_id, participant_id)
        if participant.outcome or run.state not in LIVE:
            continue
        phase_before = participant.phase
        message = f"{worker.name} of {participant.organisation.name} is no longer admitted to this hub."
        error = error_info("CL-1412", message)
        participant.outcome, participant.error = "failed", error.model_dump()
        phase_set(participant, Phase.FAILED)
        participant.save(update_fields=["outcome", "error", "phase", "phase_since", "updated_at"])
        run_fail(run, error, participant=participant, phase=phase_before)
        stop_if_all_gone(run)


def _after_exit(run: Run, participant: Participant, exit_: Exit, phase_before: str) -> None:
    error = exit_.error or error_info("CL-1999")
    if exit_.outcome == "failed" and can_recover(run, error):
        run_recover(run, error, participant=participant)
    elif exit_.outcome == "failed" and error.code in HELD and run.state in TRAINS:
        run_hold(run, error, participant=participant)
    elif exit_.outcome == "failed" and run.state in LIVE:
        run_fail(run, error, participant=participant, phase=phase_before)
    elif exit_.outcome == "stopped" and run.desired != DesiredState.STOPPED and run.state in LIVE:
        run_fail(run, exit_.error or error_info("CL-1508"), participant=participant, phase=phase_before)
    elif exit_.outcome == "done":
        _finish_if_all_done(run)
    stop_if_all_gone(run)


def _finish_if_all_done(run: Run) -> None:
    """Go on to joining once every training part is done."""
    training = run.participants.exclude(role=ParticipantRole.EVALUATOR)
    if run.state not in TRAINS:
        return
    if training.exclude(outcome="done").exists():
        return
    from webapp.adapters.tasks import join  # adapters import this app's models and states

    run_move(run, RunState.FINISHING, detail="Training is done; the segments are being joined.")
    enqueue_on_commit(join, run.id)
