"""One sentence about a run: what it does or waits for, since when, and who acts next."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from interface.statuses import status_look
from webapp.runs.life.failing import mender_of
from webapp.runs.life.guards import gone
from webapp.runs.life.recovering import can_continue, checkpoint_step, kept_until
from webapp.runs.models import ApprovalState, Participant, ParticipantRole, Run, RunState
from webapp.runs.permissions import held_by_of
from webapp.runs.states import TRAINS
from webapp.runs.turns import is_queued
from webapp.runs.words import listed, withdrawal_words


@dataclass(frozen=True)
class Status:
    """The sentence, who is next, and the tone of its frame."""

    text: str
    next_actor: str
    since: datetime
    tone: str = "info"


def _names(parts: list[Participant]) -> str:
    return ", ".join(f"{part.organisation.name} ({part.worker.name})" for part in parts)


def status_of(run: Run, parts: list[Participant]) -> Status:
    """The sentence for a run with its participants (organisation and worker loaded)."""
    state = RunState(run.state)
    if state in _WAITING:
        return _WAITING[state](run, parts)
    dropped = [part for part in parts if part.phase == "dropped"]
    if dropped and state in TRAINS | {RunState.FINISHING}:
        return Status(
            f"{_names(dropped)} stopped responding. The others are waiting. The run continues when the worker is back.",
            f"the operator of {dropped[0].organisation.name}",
            min(part.phase_since for part in dropped),
            "attention",
        )
    return _LIVE[state](run, parts)


def _draft(run: Run, parts: list[Participant]) -> Status:
    return Status("This is a draft.", f"an engineer of {run.organisation.name}", run.state_since, "neutral")


def _sites_of(run: Run, parts: list[Participant]) -> Status | None:
    """The sites that have still to approve the contract themselves, if there are any."""
    waiting = [part for part in parts if part.waits_for_site]
    if not waiting:
        return None
    text = f"Waiting for {_names(waiting)}: someone at the site has to approve the contract first."
    operators = ", ".join(f"the operator of {part.organisation.name}" for part in waiting)
    return Status(text, operators, run.state_since, "attention")


def _refused(run: Run, parts: list[Participant]) -> Status | None:
    """The sites whose policies refuse the contract, if there are any."""
    refusing = [part for part in parts if part.refuses_contract]
    if not refusing:
        return None
    if all(part.only_lacks_trust for part in refusing):
        operators = ", ".join(f"the operator of {part.organisation.name}" for part in refusing)
        text = (
            f"{_names(refusing)} doesn't trust a certificate in the contract yet. The Approvals tab shows the command."
        )
        return Status(text, operators, run.state_since, "attention")
    if any(part.has_other_contract for part in refusing):
        text = (
            f"{_names(refusing)} has admitted a different contract for this run, which the hub has lost. Clone the run."
        )
        return Status(text, f"an engineer of {run.organisation.name}, who can clone it", run.state_since, "danger")
    return Status(
        f"The site policy of {_names(refusing)} refuses the contract.",
        f"an engineer of {run.organisation.name}, who can change it",
        run.state_since,
        "danger",
    )


def _awaiting(run: Run, parts: list[Participant]) -> Status:
    if refused := _refused(run, parts):
        return refused
    open_ = run.approvals.filter(contract_hash=run.contract_hash, state=ApprovalState.PENDING)
    names = ", ".join(open_.values_list("organisation__name", flat=True))
    if not names and (waits := _sites_of(run, parts)):
        return waits
    return Status(f"Waiting for {names} to approve.", names, run.state_since, "attention")


def _declined(run: Run, parts: list[Participant]) -> Status:
    no = run.approvals.filter(contract_hash=run.contract_hash, state=ApprovalState.DECLINED).first()
    text = f"{no.organisation.name} declined: {no.reason}" if no else "The contract was declined."
    return Status(text, f"an engineer of {run.organisation.name}, who can change it", run.state_since, "danger")


def _approved(run: Run, parts: list[Participant]) -> Status:
    if refused := _refused(run, parts):
        return refused
    return Status(
        "Every organisation has approved.", f"an engineer of {run.organisation.name}, who can start it", run.state_since
    )


def _starting(run: Run, parts: list[Participant]) -> Status:
    training = [part for part in parts if part.role != ParticipantRole.EVALUATOR]
    unclaimed = [part for part in training if part.awaits_claim]
    if unclaimed:
        if waits := _sites_of(run, unclaimed):
            return waits
        queued = [part for part in unclaimed if is_queued(part)]
        if queued:
            text = f"Waiting for {_names(queued)}, busy with another run. This run starts when its turn comes."
            return Status(text, _names(queued), run.state_since)
        return Status(f"Waiting for {_names(unclaimed)} to start its part.", _names(unclaimed), run.state_since)
    doing: dict[str, list[str]] = {}
    for part in training:
        doing.setdefault(status_look(part.phase).label.lower(), []).append(part.organisation.name)
    text = "; ".join(f"{listed(names)}: {phase}" for phase, names in doing.items())
    return Status(f"Getting ready. {text}.", "the workers", run.state_since)


def _training(run: Run, parts: list[Participant]) -> Status:
    clients = [part.organisation.name for part in parts if part.role == ParticipantRole.CLIENT]
    server = next((part.organisation.name for part in parts if part.role == ParticipantRole.SERVER), "")
    who = listed([*clients, server])
    if begun := [part.phase_since for part in parts if part.phase == "evaluating"]:
        return Status("Evaluating on held-out rows.", "the workers", min(begun), "active")
    if skipped := run.summary.get("skipped"):
        names = {part.party: part.organisation.name for part in parts} | {"server": server}
        count = skipped["steps"]
        what = f"{count} step{'s were' if count > 1 else ' was'} skipped because of a NaN or infinite value"
        whose = names.get(skipped["party"], "")
        text = f"{who} are training. {what}: last in step {skipped['step']}{f', {whose}' if whose else ''}."
        return Status(text, f"an engineer of {run.organisation.name}", run.training_at or run.state_since, "attention")
    return Status(
        f"{who} {'are' if ' and ' in who else 'is'} training.",
        "the workers",
        run.training_at or run.state_since,
        "active",
    )


def _recovering(run: Run, parts: list[Participant]) -> Status:
    step, training = checkpoint_step(run), [part for part in parts if part.role != ParticipantRole.EVALUATOR]
    begin = f"Recovering from step {step}" if step else "Starting again"
    waiting = [part for part in training if part.awaits_claim]
    if waits := _sites_of(run, waiting):
        return waits
    doing = f"waiting for {_names(waiting)}" if waiting else "every worker has restarted its part"
    text = f"{begin}, attempt {run.recoveries + 1}: {doing}."
    return Status(text, _names(waiting) or "the workers", run.state_since, "attention")


def _paused(run: Run, parts: list[Participant]) -> Status:
    if run.failure:
        cause = f"Paused at {_told(run.failure)}: {run.failure['message']}".rstrip(".")
        acts = f"an engineer of {run.organisation.name}"
        if run.failure["code"] == "CL-1512":  # the worker's own people alone can release it
            acts = f"an administrator or compute operator of {run.failure['organisation']}"
        return Status(f"{cause}. Nothing is lost.", acts, run.state_since, "danger")
    if held := held_by_of(run):
        names = " and ".join(one.name for one in held)
        return Status(f"Paused by {names}. Nothing is lost.", f"someone at {names}", run.state_since, "attention")
    return Status("Paused. Nothing is lost.", f"an engineer of {run.organisation.name}", run.state_since, "attention")


def _finishing(run: Run, parts: list[Participant]) -> Status:
    if not run.adapters.exclude(state="collecting").exists():
        return Status(
            "Training is complete. The segments are being joined into one adapter.", "the hub", run.state_since
        )
    reported = {key for adapter in run.adapters.all() for key in adapter.reports}
    waiting = [part for part in parts if part.dataset_version_id and part.id not in reported]
    who = _names(waiting) or "the hub"
    return Status(f"The adapter is joined. It is being loaded and measured by {who}.", who, run.state_since)


def _stopping(run: Run, parts: list[Participant]) -> Status:
    training = [part for part in parts if part.role != ParticipantRole.EVALUATOR]
    left = [part for part in training if not gone(part)]
    done = len(training) - len(left)
    why = "A failure stops the run" if run.failure else "Stopping"
    text = f"{why}: {done} of {len(training)} workers have confirmed that their process ended."
    return Status(text, _names(left), run.state_since, "danger" if run.failure else "attention")


def _done(run: Run, parts: list[Participant]) -> Status:
    states = {adapter.party: adapter.state for adapter in run.adapters.all()}
    ready = "ready" in states.values()
    text = "Done. The adapter is verified." if ready else "Done, without a verified adapter."
    unverified = [part.organisation.name for part in parts if states.get(part.party) == "unverified"]
    if ready and unverified:
        text = f"Done, but the adapter of {listed(unverified)} is not verified."
    return Status(text, "", run.state_since, "success" if ready and not unverified else "attention")


def _told(failure: dict[str, Any], worker: str = "") -> str:
    """Whose failure it is; another party that was named but has not said so itself is the sender's word."""
    owner = f"{failure.get('organisation') or ''}{worker}"
    told = failure.get("told")
    return f"{owner}, which attributes it to {told['organisation']}" if told else owner


def _failed(run: Run, parts: list[Participant]) -> Status:
    failure = run.failure or {}
    whose = (
        "Failed because of a value from"
        if failure.get("code") == "CL-1531" and not failure.get("told")
        else "Failed at"
    )
    worker = f" ({failure['worker']})" if failure.get("worker") else ""
    text = f"{whose} {_told(failure, worker)}: {failure.get('message', '')}".rstrip(".") + "."
    return Status(text, mender_of(run), run.state_since, "danger")


def _stopped(run: Run, parts: list[Participant]) -> Status:
    if not run.started_at:
        return Status(withdrawal_words(run.summary), "", run.state_since, "neutral")
    text = "Stopped. Every worker has confirmed that its process ended."
    until = kept_until(run)
    if until is not None and can_continue(run):
        held = " and ".join(one.name for one in held_by_of(run))
        text += f" It can be resumed from step {checkpoint_step(run)} until {until.day} {until:%B %Y}"
        text += f", by {held}." if held else "."
    return Status(text, "", run.state_since, "neutral")


_WAITING = {
    RunState.DRAFT: _draft,
    RunState.AWAITING: _awaiting,
    RunState.DECLINED: _declined,
    RunState.APPROVED: _approved,
    RunState.STOPPING: _stopping,
    RunState.DONE: _done,
    RunState.FAILED: _failed,
    RunState.STOPPED: _stopped,
}
_LIVE = {
    RunState.STARTING: _starting,
    RunState.TRAINING: _training,
    RunState.RECOVERING: _recovering,
    RunState.PAUSED: _paused,
    RunState.FINISHING: _finishing,
}
