"""After the hub was restored from a backup: what it forgot must not be handed out again, nor waited for."""

from __future__ import annotations

from django.db.models import F
from django.utils import timezone

from webapp.core.transactions import service
from webapp.runs.lifecycle.recovering import checkpoint_step
from webapp.runs.locking import run_lock
from webapp.runs.models import ParticipantRole, Run, RunState
from webapp.runs.services.control import wake_participants
from webapp.runs.states import LIVE, TRAINS, run_move
from webapp.runs.timeline import timeline_event
from workers.contracts import Phase

ATTEMPT_GAP = 100  # more attempts than a part has between two backups


def runs_after_restore() -> int:
    """Bring every run into a state that its workers can go on from; returns how many are under way.

    Drafts and ended runs are among them: in the lost time they may have run, or been resumed. Those that are done are
    over for good.
    """
    ids = list(Run.objects.exclude(state=RunState.DONE).order_by("id").values_list("id", flat=True))
    for run_id in ids:
        _after_restore(run_id)
    return Run.objects.filter(id__in=ids, state__in=LIVE).count()


@service
def _after_restore(run_id: str) -> None:
    """Where halves are wanted, all take their parts up anew, from the newest checkpoints that they hold.

    The new attempts are far above those that the hub remembers: whatever it handed out after the backup is older.
    """
    run = run_lock(run_id)
    parts = run.participants.exclude(role=ParticipantRole.EVALUATOR)
    if run.state in TRAINS:
        parts.update(outcome="", error=None, address="", phase=Phase.WAITING.value, phase_since=timezone.now())
    if run.state not in (RunState.FINISHING, RunState.STOPPING):
        parts.update(wanted_attempt=F("attempt") + ATTEMPT_GAP)
    if run.state not in (*LIVE, RunState.AWAITING, RunState.APPROVED):
        return
    step = checkpoint_step(run)
    detail = "The hub was restored from a backup." + (f" Every part goes on from step {step} or later." if step else "")
    if run.state in (RunState.STARTING, RunState.TRAINING):
        run.recoveries += 1
        run.save(update_fields=["recoveries", "updated_at"])
        run_move(run, RunState.RECOVERING, detail=detail)
    else:
        timeline_event(run, "hub.restored", detail)
    wake_participants(run, "restored")
