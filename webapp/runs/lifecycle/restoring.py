"""After the hub was restored from a backup: what it forgot must not be handed out again, nor waited for."""

from __future__ import annotations

from webapp.core.transactions import service
from webapp.runs.life.apply import run_apply
from webapp.runs.life.events import Event, Happening
from webapp.runs.locking import run_lock
from webapp.runs.models import Run, RunState
from webapp.runs.states import LIVE


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
    run_apply(run_lock(run_id), Event(Happening.HUB_RESTORED))
