"""A worker's part: its verdict on the contract, its address, and that the worker is shut out."""

from __future__ import annotations

from typing import Any, Literal

from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.runs.fencing import fence, part_lock
from webapp.runs.life.apply import run_apply, run_expect
from webapp.runs.life.effects import wake_participants
from webapp.runs.life.events import Event, Happening
from webapp.runs.life.failing import failure
from webapp.runs.life.parts import part_close
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, ParticipantRole, Run, RunState, half
from webapp.runs.services.approvals import approve_if_complete
from webapp.runs.states import LIVE
from webapp.runs.timeline import error_info, run_announce, timeline_event
from workers.contracts import JOB_KIND, SITE_APPROVAL, HubEvent, PolicyVerdict, Ready

TOLD_VERDICTS = 5  # of one kind, for one part and contract: a worker that changes its mind for ever fills no log


@service
def verdict_record(*, worker: Worker, run_id: str, verdict: PolicyVerdict) -> Participant:
    """Store what the site's own policy says of the contract. A refusal keeps the run from being approved."""
    run, participant = part_lock(worker, run_id, verdict.participant_id)
    if verdict.contract_hash != run.contract_hash:
        raise AppError("CL-1502")
    before = participant.policy_verdict
    if before and verdict.refusals and all(refusal.field == JOB_KIND for refusal in verdict.refusals):
        _tell_unknown_job(run, participant, before, verdict)
        return participant
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
    if not approve_if_complete(run, Happening.POLICY_JUDGED):
        run_announce(run)
    return participant


def _refusals_in_short(verdict: PolicyVerdict) -> dict[str, Any]:
    """A verdict's refusals as its entry has them: the log keeps everything for ever, so a worker fills no page."""
    short = [{"field": one.field, "message": one.message[:200]} for one in verdict.refusals[:10]]
    more = len(verdict.refusals) - len(short)
    return {"refusals": short, **({"more": more} if more else {})}


def _tell_unknown_job(run: Run, participant: Participant, judged: dict[str, Any], verdict: PolicyVerdict) -> None:
    """The worker is too old for a job of the run. What it has said of the contract holds."""
    told = judged.setdefault("told", {})
    if told.get("unknown", 0) == TOLD_VERDICTS:
        return
    told["unknown"] = told.get("unknown", 0) + 1
    participant.save(update_fields=["policy_verdict", "updated_at"])
    name, reasons = participant.worker.name, " ".join(refusal.message for refusal in verdict.refusals)[:500]
    error = error_info("CL-1525", f"{name}: {reasons}"[:600])
    sentence = f"{name} doesn't support a job of this run. {reasons}"
    timeline_event(run, HubEvent.JOB_UNKNOWN, sentence, error=error, participant=participant)
    run_announce(run)


def _outcome(verdict: dict[str, Any]) -> Literal["accepted", "waiting", "refused"]:
    if verdict["accepted"]:
        return "accepted"
    return "waiting" if verdict.get("waiting") else "refused"


def _tell_verdict(run: Run, participant: Participant, word: Literal["accepted", "waiting", "refused"]) -> None:
    name = participant.worker.name
    reasons = " ".join(refusal["message"] for refusal in (participant.policy_verdict or {})["refusals"])[:500]
    sentence = {
        "accepted": f"The policy of {name} accepts the contract.",
        "waiting": f"{name} is waiting for its own site's approval.",
        "refused": f"The policy of {name} refuses the contract. {reasons}",
    }[word]
    error = error_info("CL-1509", f"{name} refuses: {reasons}"[:600]) if word == "refused" else None
    timeline_event(run, HubEvent(f"policy.{word}"), sentence, error=error, participant=participant)


@service
def server_ready(*, worker: Worker, run_id: str, ready: Ready) -> Participant:
    """Store where the server half listens, and wake the clients that wait for it."""
    run, participant = part_lock(worker, run_id, ready.participant_id)
    fence(participant, ready.attempt)
    if participant.role != ParticipantRole.SERVER:
        raise AppError("CL-1504", "Only the compute organisation's part accepts connections.")
    if not run_expect(run, Happening.SERVER_READY):
        return participant
    participant.address = f"{ready.host}:{ready.port}"
    participant.save(update_fields=["address", "updated_at"])
    timeline_event(
        run,
        HubEvent.SERVER_READY,
        f"{worker.name} is ready for the data organisations to connect.",
        participant=participant,
    )
    wake_participants(run, "peer")
    return participant


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
    live = Participant.objects.filter(half(outcome=""), worker=worker, run__state__in=LIVE).exclude(
        role=ParticipantRole.EVALUATOR
    )
    for run_id, participant_id in list(live.order_by("run_id", "id").values_list("run_id", "id")):
        run, participant = part_lock(worker, run_id, participant_id)
        if participant.outcome or run.state not in LIVE:
            continue
        phase_before = participant.phase
        message = f"{worker.name} of {participant.organisation.name} is no longer admitted to this hub."
        error = error_info("CL-1412", message)
        part_close(participant, "failed", error)
        run_apply(run, failure(run, Happening.WORKER_SHUT_OUT, error, participant=participant, phase=phase_before))
        run_apply(run, Event(Happening.PROCESS_GONE, participant=participant))
