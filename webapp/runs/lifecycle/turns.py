"""Whose turn it is at a worker: older runs first, everywhere, so that two runs never wait for each other's workers."""

from __future__ import annotations

from django.db.models import F, Q, QuerySet

from webapp.core.live import wake_worker
from webapp.runs.models import DesiredState, Participant, ParticipantRole
from webapp.runs.states import TRAINS

_WANTED = (DesiredState.RUNNING, DesiredState.PAUSED)


def ahead_of(part: Participant) -> QuerySet[Participant]:
    """Parts of older runs that the same worker has still to take up, before this one."""
    run = part.run
    older = Q(run__started_at__lt=run.started_at) | Q(run__started_at=run.started_at, run_id__lt=run.id)
    return Participant.objects.filter(
        older,
        worker=part.worker_id,
        outcome="",
        attempt__lt=F("wanted_attempt"),
        run__state__in=TRAINS,
        run__desired__in=_WANTED,
    ).exclude(role=ParticipantRole.EVALUATOR)


def has_turn(part: Participant) -> bool:
    """Whether a part may be taken up now. One that was taken up keeps its place."""
    return not part.awaits_claim or part.run.started_at is None or not ahead_of(part).exists()


def is_queued(part: Participant) -> bool:
    """Whether a part waits for another run at its worker, which is no fault of its own."""
    if not part.awaits_claim:
        return False
    busy = Participant.objects.filter(worker=part.worker_id, run__state__in=TRAINS, outcome="", attempt__gt=0)
    return busy.exclude(run_id=part.run_id).exists() or not has_turn(part)


def next_turn(part: Participant) -> None:
    """A worker has taken up a part or is rid of it: it may ask for the next one."""
    wake_worker(part.worker_id, "turn")
