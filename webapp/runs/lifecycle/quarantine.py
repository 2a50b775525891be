"""A worker in quarantine: its live runs are held at once, so that nothing more is exchanged with it."""

from __future__ import annotations

from splitcore.errors import AppError
from webapp.fleet.models import Worker, WorkerState
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.life.guards import QUARANTINE
from webapp.runs.lifecycle.participation import runs_lock
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, Run, RunState, half
from webapp.runs.states import TRAINS
from webapp.runs.timeline import error_info


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
        QUARANTINE,
        f"The worker {part.worker.name} is in quarantine.",
        f"An administrator or compute operator of {part.organisation.name} can release it. The run then continues.",
    )
    run_apply(run, Event(Happening.WORKER_QUARANTINED, error.message, participant=part, error=error))


def runs_let_go(worker: Worker, *, detail: str) -> None:
    """The worker was released: let the runs go on that were held for it alone and that ran before.

    The caller has locked the runs (`runs_lock`) and then the worker.
    """
    held = Run.objects.filter(participants__worker=worker, state=RunState.PAUSED, failure__code=QUARANTINE)
    for run_id in list(held.order_by("id").values_list("id", flat=True).distinct()):
        run = run_lock(run_id)
        failure = run.failure or {}
        if run.state != RunState.PAUSED or failure.get("code") != QUARANTINE:
            continue
        other = quarantined_part(run, besides=worker)
        if other is not None:
            run_hold_for(run, other)
        else:
            _let_go(run, detail)


def _let_go(run: Run, detail: str) -> None:
    """Resume by the same rule as for people: where another party is not available now, the run stays paused."""
    try:
        run_apply(run, Event(Happening.WORKER_RELEASED, detail))
    except AppError as error:
        told = error_info(error.code, error.message, error.remedy)
        why = f"{detail} The run stays paused: {error.message}"
        run_apply(run, Event(Happening.RELEASE_REFUSED, why, error=told))


def quarantined_part(run: Run, *, besides: Worker | None = None) -> Participant | None:
    """A part of the run whose worker is in quarantine, if there is one."""
    parts = run.participants.filter(worker__state=WorkerState.QUARANTINED).select_related("worker", "organisation")
    if besides is not None:
        parts = parts.exclude(worker=besides)
    return parts.first()


def _training_part(run: Run, worker: Worker) -> Participant | None:
    parts = run.participants.filter(half(outcome=""), worker=worker).exclude(role="evaluator")
    return parts.select_related("worker", "organisation").first()
