"""Failure of a run: the first cause wins, with its owner and remedy; the others are asked to stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState
from webapp.runs.services.control import stop_locked, want
from webapp.runs.states import ENDED, run_move
from webapp.runs.timeline import timeline_event
from workers.contracts import ErrorInfo

# What a half reports when the *other* one is in trouble. Whichever report arrives first, such an error gives way to
# one that names a trouble of its sender's own.
CONSEQUENCES = frozenset(
    {"CL-1320", "CL-1321", "CL-1326", "CL-1327", "CL-1328", "CL-1329", "CL-1331", "CL-1510", "CL-1530"}
)

# What the configuration causes, wherever it shows: its remedy is with the run's own engineers.
CONFIGURED = frozenset({"CL-1002", "CL-1004", "CL-1005", "CL-1105", "CL-1521", "CL-1531", "CL-1532"})
# A value that was not finite shows at whichever half looked first, and so does a late part; the event that names whose
# it was. Every half tells of a value, the one that it came from too; of a late part the compute worker alone.
SHOWN_ELSEWHERE = {"CL-1531": "values.not_finite", "CL-1532": "values.not_finite", "CL-1534": "party.late"}


def training_parts(run: Run) -> list[Participant]:
    """The run's parts that train."""
    return list(run.participants.exclude(role=ParticipantRole.EVALUATOR).select_related("worker", "organisation"))


def is_named(part: Participant, detail: str) -> bool:
    """Whether an event's detail names this part before the colon; `server` is the compute part."""
    name = detail.partition(":")[0]
    return name == part.party or (name, part.role) == ("server", ParticipantRole.SERVER)


@dataclass(frozen=True)
class Source:
    """Whose trouble it is, as far as that is more than one party's word; else what the sender told of another."""

    participant: Participant | None
    told: dict[str, Any] | None = None


def source_of(run: Run, code: str, sender: Participant | None) -> Source:
    """The part that the sender's last event for this code names, where that part's own record of the step agrees."""
    if sender is None or code not in SHOWN_ELSEWHERE:
        return Source(sender)
    events = run.records.filter(kind="event", payload__name=SHOWN_ELSEWHERE[code]).order_by("-seq")
    last = events.filter(participant=sender).first()
    detail = str(last.payload.get("detail") or "") if last else ""
    named = next((part for part in training_parts(run) if is_named(part, detail)), None)
    if last is None or named is None or named.pk == sender.pk:
        return Source(sender)
    own = events.filter(participant=named, step=last.step)
    if any(is_named(named, str(record.payload.get("detail") or "")) for record in own):
        return Source(named)
    return Source(sender, {"party": named.party, "organisation": named.organisation.name, "step": last.step})


def source_agrees(run: Run, participant: Participant, *, event: str, detail: str, step: int | None) -> None:
    """A part says itself, later, what another told of it in the failure of a locked run: then it is so."""
    failure = run.failure or {}
    told = failure.get("told") or {}
    fits = SHOWN_ELSEWHERE.get(str(failure.get("code"))) == event and is_named(participant, detail)
    if fits and told.get("party") == participant.party and told.get("step") == step:
        run.failure = {**failure, **_whose(participant), "told": None}
        run.save(update_fields=["failure", "updated_at"])


def _whose(participant: Participant | None) -> dict[str, object]:
    return {
        "organisation_id": participant.organisation_id if participant else "",
        "organisation": participant.organisation.name if participant else "The hub",
        "worker_id": participant.worker_id if participant else "",
        "worker": participant.worker.name if participant else "",
        "party": participant.party if participant else "",
    }


def failure_of(error: ErrorInfo, participant: Participant | None, phase: str) -> dict[str, object]:
    """A failure as the run keeps it: code, sentence, remedy, and whose it is."""
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        **_whose(participant),
        "phase": phase,
        "at": timezone.now().isoformat(),
    }


def mender_of(run: Run) -> str:
    """Who can do what the failure's remedy asks: the run's engineers, or the site where it failed."""
    failure = run.failure or {}
    if failure.get("code") in CONFIGURED:
        return f"an engineer of {run.organisation.name}"
    return str(failure.get("organisation") or "")


def meets_again(run: Run) -> bool:
    """Whether a new attempt with the same contract would come to the same values, and fail again."""
    return (run.failure or {}).get("code") == "CL-1531"


def run_fail(run: Run, error: ErrorInfo, *, participant: Participant | None = None, phase: str = "") -> None:
    """Note the cause on a locked run and ask all workers to stop; the run has failed when all are gone."""
    if run.state in ENDED:
        return
    source = source_of(run, error.code, participant)
    participant = source.participant
    known = run.failure
    replaces = known is not None and known["code"] in CONSEQUENCES and error.code not in CONSEQUENCES
    stopped_by_people = known is None and run.state == RunState.STOPPING
    if (known is None and not stopped_by_people) or replaces:
        found = failure_of(error, participant, phase or (participant.phase if participant else ""))
        run.failure = {**found, "told": source.told}
        run.save(update_fields=["failure", "updated_at"])
        timeline_event(run, "run.failing", error.message, error=error, participant=participant)
    if run.state == RunState.FINISHING and not _any_process(run):
        want(run, DesiredState.STOPPED)
        run_move(run, RunState.FAILED, detail=error.message)
    elif run.state != RunState.STOPPING:
        stop_locked(run, error.message)


def _any_process(run: Run) -> bool:
    return run.participants.filter(outcome="", attempt__gt=0).exists()
