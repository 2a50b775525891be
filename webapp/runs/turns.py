"""Whose turn it is at a worker: older runs first, everywhere, so that two runs never wait for each other's workers."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from webapp.core.live import wake_worker
from webapp.runs.models import DesiredState, Participant, ParticipantRole, Run, RunState, half
from webapp.runs.states import TRAINS

_WANTED = (DesiredState.RUNNING, DesiredState.PAUSED)
PATIENCE = timedelta(seconds=10)  # for which a part waits before a younger run gives way: its worker may have room


def ahead_of(part: Participant) -> QuerySet[Participant]:
    """Parts of older runs that the same worker has still to take up, before this one."""
    run = part.run
    older = Q(run__started_at__lt=run.started_at) | Q(run__started_at=run.started_at, run_id__lt=run.id)
    return Participant.objects.filter(
        older,
        half(outcome="", wanted_attempt__gt=F("attempt")),
        worker=part.worker_id,
        run__state__in=TRAINS,
        run__desired__in=_WANTED,
    ).exclude(role=ParticipantRole.EVALUATOR)


def has_turn(part: Participant) -> bool:
    """Whether a part may be taken up now. One that was taken up keeps its place."""
    return not part.awaits_claim or part.run.started_at is None or not ahead_of(part).exists()


def blocks(run: Run) -> Participant | None:
    """The part of an older run that waits for a worker which this run holds without being able to use it, if any.

    A worker that has lost a half may take up the next run before the hub hears of the loss. That run's other workers
    are with the older run, which waits for this one: neither would ever go on.
    """
    parts = list(run.participants.exclude(role=ParticipantRole.EVALUATOR).select_related("run"))
    if run.started_at is None or not any(part.awaits_claim for part in parts):
        return None
    held = [part for part in parts if part.attempt > 0 and part.stop_confirmed_at is None and not part.awaits_claim]
    since = timezone.now() - PATIENCE
    ahead = [ahead_of(part).exclude(run__state=RunState.PAUSED).filter(phase_since__lt=since) for part in held]
    waiting = (older for rows in ahead for older in rows.select_related("worker"))
    return next((older for older in waiting if not (older.waits_for_site or older.refuses_contract)), None)


def is_queued(part: Participant) -> bool:
    """Whether a part waits for another run at its worker, which is no fault of its own."""
    if not part.awaits_claim:
        return False
    busy = Participant.objects.filter(half(outcome=""), worker=part.worker_id, run__state__in=TRAINS, attempt__gt=0)
    return busy.exclude(run_id=part.run_id).exists() or not has_turn(part)


def is_queued_behind_work(part: Participant) -> bool:
    """Whether the run that a part waits for goes on. A paused one may stay so for ever: nobody waits for that long."""
    if not part.awaits_claim:
        return False
    busy = Participant.objects.filter(half(outcome=""), worker=part.worker_id, run__state__in=TRAINS, attempt__gt=0)
    working = busy.exclude(run_id=part.run_id).exclude(run__state=RunState.PAUSED)
    ahead = ahead_of(part).exclude(run__state=RunState.PAUSED) if part.run.started_at is not None else busy.none()
    return working.exists() or ahead.exists()


def next_turn(part: Participant) -> None:
    """A worker has taken up a part or is rid of it: it may ask for the next one."""
    wake_worker(part.worker_id, "turn")
