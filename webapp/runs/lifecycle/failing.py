"""Failure of a run: the first cause wins, with its owner and remedy; the others are asked to stop."""

from __future__ import annotations

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
CONFIGURED = frozenset({"CL-1002", "CL-1004", "CL-1005", "CL-1521", "CL-1531", "CL-1532"})
# A value that was not finite shows at whichever half looked first; the halves' event names whose it was.
SHOWN_ELSEWHERE = {"CL-1531": "values.not_finite"}


def training_parts(run: Run) -> list[Participant]:
    """The run's parts that train."""
    return list(run.participants.exclude(role=ParticipantRole.EVALUATOR).select_related("worker", "organisation"))


def source_of(run: Run, event: str) -> Participant | None:
    """The part that the halves' last event of this kind names before the colon; `server` is the compute part."""
    events = run.records.filter(kind="event", payload__name=event).order_by("-seq")
    name = str(events.values_list("payload__detail", flat=True).first() or "").split(":")[0]
    parts = training_parts(run)
    return next(
        (part for part in parts if part.party == name or (name, part.role) == ("server", ParticipantRole.SERVER)), None
    )


def failure_of(error: ErrorInfo, participant: Participant | None, phase: str) -> dict[str, object]:
    """A failure as the run keeps it: code, sentence, remedy, and whose it is."""
    return {
        "code": error.code,
        "message": error.message,
        "remedy": error.remedy,
        "organisation_id": participant.organisation_id if participant else "",
        "organisation": participant.organisation.name if participant else "The hub",
        "worker_id": participant.worker_id if participant else "",
        "worker": participant.worker.name if participant else "",
        "party": participant.party if participant else "",
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
    if error.code in SHOWN_ELSEWHERE:
        participant = source_of(run, SHOWN_ELSEWHERE[error.code]) or participant
    known = run.failure
    replaces = known is not None and known["code"] in CONSEQUENCES and error.code not in CONSEQUENCES
    stopped_by_people = known is None and run.state == RunState.STOPPING
    if (known is None and not stopped_by_people) or replaces:
        run.failure = failure_of(error, participant, phase or (participant.phase if participant else ""))
        run.save(update_fields=["failure", "updated_at"])
        timeline_event(run, "run.failing", error.message, error=error, participant=participant)
    if run.state == RunState.FINISHING and not _any_process(run):
        want(run, DesiredState.STOPPED)
        run_move(run, RunState.FAILED, detail=error.message)
    elif run.state != RunState.STOPPING:
        stop_locked(run, error.message)


def _any_process(run: Run) -> bool:
    return run.participants.filter(outcome="", attempt__gt=0).exists()
