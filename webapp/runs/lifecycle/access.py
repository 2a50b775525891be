"""How a worker reaches its own part in a run, and how an older attempt is turned away."""

from __future__ import annotations

from django.http import Http404

from splitcore.errors import AppError
from webapp.fleet.models import Worker
from webapp.runs.models import Participant, Run
from webapp.runs.services.locking import run_lock
from webapp.runs.states import TRAINS


def part_lock(worker: Worker, run_id: str, participant_id: str) -> tuple[Run, Participant]:
    """The worker's own participant and its run, locked. Anything else's does not exist for it: 404."""
    participant = Participant.objects.filter(pk=participant_id, run_id=run_id, worker=worker).first()
    if participant is None:
        raise Http404("No such part.")
    run = run_lock(run_id)
    participant = run.participants.select_related("worker", "organisation").get(pk=participant_id)
    return run, participant


def attempt_adopt(run: Run, participant: Participant, attempt: int) -> None:
    """Take over an attempt that only a hub before its restore can have handed out, where none will be claimed anew.

    While the run trains, the restored hub wants new attempts of all parts, and each claim goes on above the highest.
    """
    if attempt > participant.attempt and run.state not in TRAINS:
        participant.attempt = attempt
        participant.save(update_fields=["attempt", "updated_at"])


def fence(participant: Participant, attempt: int) -> None:
    """Raise CL-1503 for a message of another attempt than the newest one."""
    if attempt != participant.attempt:
        raise AppError(
            "CL-1503", details={"attempt": attempt, "newest": participant.attempt, "participant": participant.id}
        )
