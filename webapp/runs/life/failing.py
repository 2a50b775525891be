"""Which party caused a failure, and who can fix it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from splitcore.errors import ErrorRole, role_of
from webapp.runs.life.events import Event, Happening
from webapp.runs.models import Participant, ParticipantRole, Run
from workers.contracts import ErrorInfo, WorkerEvent

# Caused by the configuration, wherever it shows: the run's own engineers can fix it.
CONFIGURED = frozenset(
    {"CL-1002", "CL-1004", "CL-1005", "CL-1105", "CL-1109", "CL-1241", "CL-1521", "CL-1531", "CL-1532"}
)
# A value that was not finite shows at whichever half looked first, and so does a late part; the event that names whose
# it was. Every half tells of a value, the one that it came from too; of a late part the compute worker alone.
SHOWN_ELSEWHERE = {
    "CL-1531": WorkerEvent.VALUES_NOT_FINITE,
    "CL-1532": WorkerEvent.VALUES_NOT_FINITE,
    "CL-1534": WorkerEvent.PARTY_LATE,
}


def training_parts(run: Run) -> list[Participant]:
    """The run's parts that train."""
    return list(run.participants.exclude(role=ParticipantRole.EVALUATOR).select_related("worker", "organisation"))


def is_source(part: Participant, payload: Mapping[str, Any]) -> bool:
    """Whether an event names this part as the cause; `server` is the compute part."""
    name = payload.get("source") or _source_before_version_4(payload)
    return name == part.party or (name, part.role) == ("server", ParticipantRole.SERVER)


def is_in_evaluation(payload: Mapping[str, Any]) -> bool:
    """Whether an event reports a value found during an evaluation, so that no step was skipped."""
    if payload.get("source"):
        return bool(payload.get("in_evaluation"))
    return "in an evaluation" in str(payload.get("detail") or "")  # as a worker before version 4 tells it


def _source_before_version_4(payload: Mapping[str, Any]) -> str:
    """A worker of an older protocol names the source in its sentence alone, before the colon."""
    return str(payload.get("detail") or "").partition(":")[0]


@dataclass(frozen=True)
class Source:
    """Which party caused it, if more than one party's report supports that; otherwise the sender's claim."""

    participant: Participant | None
    told: dict[str, Any] | None = None


def source_of(run: Run, code: str, sender: Participant | None) -> Source:
    """The part that the sender's last event for this code names, where that part's own record of the step agrees."""
    if sender is None or code not in SHOWN_ELSEWHERE:
        return Source(sender)
    events = run.records.filter(kind="event", payload__name=SHOWN_ELSEWHERE[code]).order_by("-seq")
    last = events.filter(participant=sender).first()
    told = last.payload if last else {}
    named = next((part for part in training_parts(run) if is_source(part, told)), None)
    if last is None or named is None or named.pk == sender.pk:
        return Source(sender)
    own = events.filter(participant=named, step=last.step)
    if any(is_source(named, record.payload) for record in own):
        return Source(named)
    return Source(sender, {"party": named.party, "organisation": named.organisation.name, "step": last.step})


def source_agrees(run: Run, participant: Participant, payload: Mapping[str, Any], *, step: int | None) -> None:
    """A part later confirms what another claimed about it in the failure of a locked run."""
    failure = run.failure or {}
    told = failure.get("told") or {}
    event = SHOWN_ELSEWHERE.get(str(failure.get("code")))
    fits = event == payload.get("name") and is_source(participant, payload)
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
    """A failure as stored with the run: code, message, remedy and responsible party."""
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        **_whose(participant),
        "phase": phase,
        "at": timezone.now().isoformat(),
    }


def mender_of(run: Run) -> str:
    """Who can carry out the failure's remedy: the run's engineers, or the site where it failed."""
    failure = run.failure or {}
    if failure.get("code") in CONFIGURED:
        return f"an engineer of {run.organisation.name}"
    return str(failure.get("organisation") or "")


def meets_again(run: Run) -> bool:
    """Whether a new attempt with the same contract would compute the same values, and fail again."""
    return (run.failure or {}).get("code") == "CL-1531"


def is_consequence(code: str) -> bool:
    """Whether such an error only reports that another part has a problem.

    Whichever report arrives first, one about the sender's own problem takes precedence.
    """
    return role_of(code) is ErrorRole.CONSEQUENCE


def failure(
    run: Run, happening: Happening, error: ErrorInfo, *, participant: Participant | None = None, phase: str = ""
) -> Event:
    """A failure as an event of the responsible part, if more than the sender's report supports that."""
    source = source_of(run, error.code, participant)
    phase = phase or (source.participant.phase if source.participant else "")
    return Event(happening, participant=source.participant, error=error, phase=phase, told=source.told)
