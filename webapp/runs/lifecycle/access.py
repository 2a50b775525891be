"""How a worker reaches its own part in a run, and how an older attempt is turned away."""

from __future__ import annotations

from django.http import Http404

from splitcore.errors import AppError
from webapp.fleet.models import Worker
from webapp.runs.models import Participant, Run
from webapp.runs.services.locking import run_lock


def part_lock(worker: Worker, run_id: str, participant_id: str) -> tuple[Run, Participant]:
    """The worker's own participant and its run, locked. Anything else's does not exist for it: 404."""
    participant = Participant.objects.filter(pk=participant_id, run_id=run_id, worker=worker).first()
    if participant is None:
        raise Http404("No such part.")
    run = run_lock(run_id)
    participant = run.participants.select_related("worker", "organisation").get(pk=participant_id)
    return run, participant


def fence(participant: Participant, attempt: int) -> None:
    """Raise CL-1503 for a message of another attempt than the newest one."""
    if attempt != participant.attempt:
        raise AppError(
            "CL-1503", details={"attempt": attempt, "newest": participant.attempt, "participant": participant.id}
        )
