"""How a worker reaches its own part in a run, and how an older attempt is turned away."""

from __future__ import annotations

from django.http import Http404

from splitcore.errors import AppError
from webapp.audit.models import Restoration
from webapp.fleet.models import Worker
from webapp.fleet.signing import state_check
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, Run
from webapp.runs.states import EDITABLE, TRAINS

ATTEMPT_JUMP = 10_000  # more than a hub loses between two backups
ATTEMPTS = 1_000_000  # of one part; far below what a database's column and a message hold


def part_lock(worker: Worker, run_id: str, participant_id: str) -> tuple[Run, Participant]:
    """The worker's own participant and its run, locked. Anything else's does not exist for it: 404."""
    participant = Participant.objects.filter(pk=participant_id, run_id=run_id, worker=worker).first()
    if participant is None:
        raise Http404("No such part.")
    run = run_lock(run_id)
    participant = run.participants.select_related("worker", "organisation").get(pk=participant_id)
    return run, participant


def sender_lock(worker: Worker, run_id: str, participant_id: str) -> tuple[Run, Participant]:
    """The same for a message that takes long to arrive: the worker is let in still, with the key that signed it.

    Raises CL-1411 to CL-1414. A quarantine locks the runs before the worker, so it comes before this or after.
    """
    run, participant = part_lock(worker, run_id, participant_id)
    state_check(worker=participant.worker)
    if participant.worker.fingerprint != worker.fingerprint:
        raise AppError("CL-1411")
    return run, participant


def started_check(run: Run, participant: Participant, attempt: int) -> None:
    """Raise CL-1504 before the run has started: no half can have done anything for it.

    A worker that ran it in a time which a restore has lost is told the newest attempt, and waits for the next claim.
    """
    if run.state in EDITABLE:
        raise AppError("CL-1504", details={"attempt": attempt, "newest": participant.attempt})


def _was_restored(run: Run) -> bool:
    """Whether the hub went back to a backup since the run was made."""
    return Restoration.objects.filter(at__gte=run.created_at).exists()


def attempt_adopt(run: Run, participant: Participant, attempt: int) -> None:
    """Take over an attempt that only a hub before its restore can have handed out, where none will be claimed anew.

    While the run trains, the restored hub wants new attempts of all parts, and each claim goes on above the highest.
    A hub that was not restored has forgotten none. Raises CL-1513.
    """
    if attempt > participant.attempt and run.state not in TRAINS and _was_restored(run):
        attempt_check(participant, attempt)
        participant.attempt = attempt
        participant.save(update_fields=["attempt", "updated_at"])


def attempt_check(participant: Participant, attempt: int) -> None:
    """Raise CL-1513 for an attempt so far above those of the part that no hub can have handed it out.

    A worker names it itself, and every other worker of the run is told it.
    """
    known = max(participant.attempt, participant.wanted_attempt)
    if attempt > min(known + ATTEMPT_JUMP, ATTEMPTS):
        raise AppError("CL-1513", details={"attempt": attempt, "newest": known, "participant": participant.id})


def fence(participant: Participant, attempt: int) -> None:
    """Raise CL-1503 for a message of another attempt than the newest one."""
    fence_between(participant, attempt, least=participant.attempt)


def fence_between(participant: Participant, attempt: int, *, least: int) -> None:
    """Raise CL-1503 for a message of an attempt before `least`, or of one that was never handed out."""
    if not least <= attempt <= participant.attempt:
        raise AppError(
            "CL-1503", details={"attempt": attempt, "newest": participant.attempt, "participant": participant.id}
        )
