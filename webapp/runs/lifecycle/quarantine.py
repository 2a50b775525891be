"""A worker in quarantine: its live runs are held at once, so that nothing more is exchanged with it."""

from __future__ import annotations

from splitcore.errors import AppError
from webapp.fleet.models import Worker, WorkerState
from webapp.runs.lifecycle.failing import failure_of
from webapp.runs.lifecycle.participation import runs_lock
from webapp.runs.locking import run_lock
from webapp.runs.models import DesiredState, Participant, Run, RunState
from webapp.runs.services.control import resume_locked, want
from webapp.runs.states import TRAINS, run_announce, run_move
from webapp.runs.timeline import error_info, timeline_event
from workers.contracts import ErrorInfo

CODE = "CL-1512"


def runs_hold(worker: Worker) -> None:
    """Pause every run that the worker trains in; the runs are locked first, and then the worker's own row.

    The halves of the others obey the pause and send nothing more; the worker's own agent pauses its halves when the hub
    refuses its calls.
    """
    runs_lock(worker)
    for run in Run.objects.filter(id__in=worker.participations.values("run_id"), state__in=TRAINS).order_by("id"):
        part = _training_part(run, worker)
        if part is not None:
            run_hold_for(run, part)


def run_hold_for(run: Run, part: Participant) -> None:
    """Hold a locked run for one of its parts whose worker is in quarantine."""
    error = error_info(
        CODE,
        f"The worker {part.worker.name} is in quarantine.",
        f"An administrator or compute operator of {part.organisation.name} can release it; the run then goes on.",
    )
    was_paused, known = run.state == RunState.PAUSED, run.failure or {}
    if was_paused and known and known.get("code") != CODE:  # it waits for people for another reason already
        timeline_event(run, "run.held", error.message, error=error, participant=part)
        return
    resumes = bool(known.get("resumes")) if was_paused else True
    run.failure = failure_of(error, part, "") | {"resumes": resumes}
    run.save(update_fields=["failure", "updated_at"])
    if was_paused:
        timeline_event(run, "run.held", error.message, error=error, participant=part)
        run_announce(run)
    else:
        run_move(run, RunState.PAUSED, detail=error.message, participant=part, error=error)
    want(run, DesiredState.PAUSED)


def runs_let_go(worker: Worker, *, detail: str) -> None:
    """The worker was released: let the runs go on that were held for it alone and that ran before.

    The caller has locked the runs (`runs_lock`) and then the worker.
    """
    held = Run.objects.filter(participants__worker=worker, state=RunState.PAUSED, failure__code=CODE).order_by("id")
    for run_id in list(held.values_list("id", flat=True).distinct()):
        run = run_lock(run_id)
        failure = run.failure or {}
        if run.state != RunState.PAUSED or failure.get("code") != CODE:
            continue
        other = quarantined_part(run, besides=worker)
        if other is not None:
            run_hold_for(run, other)
        elif failure.get("resumes"):
            _resume_or_say_why_not(run, detail)
        else:
            _stays_paused(run, f"{detail} The run stays paused, as it was before.")


def _resume_or_say_why_not(run: Run, detail: str) -> None:
    """Resume by the same rule as for people: where another party is not available now, the run stays paused."""
    try:
        resume_locked(run, detail)
    except AppError as error:
        told = error_info(error.code, error.message, error.remedy)
        _stays_paused(run, f"{detail} The run stays paused: {error.message}", error=told)


def _stays_paused(run: Run, detail: str, *, error: ErrorInfo | None = None) -> None:
    run.failure = None
    run.save(update_fields=["failure", "updated_at"])
    timeline_event(run, "run.released", detail, error=error)
    run_announce(run)


def quarantined_part(run: Run, *, besides: Worker | None = None) -> Participant | None:
    """A part of the run whose worker is in quarantine, if there is one."""
    parts = run.participants.filter(worker__state=WorkerState.QUARANTINED).select_related("worker", "organisation")
    if besides is not None:
        parts = parts.exclude(worker=besides)
    return parts.first()


def _training_part(run: Run, worker: Worker) -> Participant | None:
    parts = run.participants.filter(worker=worker, outcome="").exclude(role="evaluator")
    return parts.select_related("worker", "organisation").first()
