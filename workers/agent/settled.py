"""Checkpoints of runs that the hub calls over for good: when they go, and how long its word alone deletes nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from pathlib import Path

from splitcore.errors import AppError
from workers.contracts import CHECKPOINT_DAYS
from workers.jobs.folder import checked_name, forget_checkpoints, has_checkpoints
from workers.outbox.spool import Spool
from workers.settings import WorkerHome

KEPT_SECONDS = CHECKPOINT_DAYS * 86_400.0
MARK = "settled"  # in the run's folder, since when the hub has called it so
log = logging.getLogger(__name__)


class SettledRuns:
    """The hub's word is enough where this worker's own half has ended as done: nothing of it will be taken up again.

    Any other run the hub may call over by mistake, or in order to harm: its checkpoints stay for seven days more, and
    for as long as it likes once it is listed again.
    """

    def __init__(self, home: WorkerHome, spool: Spool) -> None:
        self._home, self._spool = home, spool

    def apply(self, settled: Collection[str], going_on: Collection[str]) -> None:
        """What is in neither goes by the mark that it has: a run that the hub forgets is no less over."""
        marked = {mark.parent.name for mark in self._home.jobs.glob(f"*/{MARK}")}
        for run_id in marked | set(settled):
            try:
                self._look(run_id, is_over=run_id not in going_on)
            except (AppError, OSError) as error:
                log.error("settled run: %s", error)

    def _look(self, run_id: str, *, is_over: bool) -> None:
        mark = self._home.jobs / checked_name(run_id) / MARK
        if not is_over:
            mark.unlink(missing_ok=True)
        elif mark.exists():
            if time.time() - mark.stat().st_mtime > KEPT_SECONDS:
                self._forget(run_id, mark)
        elif has_checkpoints(self._home, run_id):
            self._settle(run_id, mark)

    def _settle(self, run_id: str, mark: Path) -> None:
        if self._has_seen_its_end(run_id):
            self._forget(run_id, mark)
            return
        mark.touch(mode=0o600)
        log.info(
            "the hub calls the run %s over; its checkpoints stay here for %d days more (%s)",
            run_id,
            CHECKPOINT_DAYS,
            mark.parent,
        )

    def _has_seen_its_end(self, run_id: str) -> bool:
        halves = [row for row in self._spool.jobs(state="exited") if (row.run_id, row.kind) == (run_id, "train")]
        return bool(halves) and all(row.outcome == "done" for row in halves)

    def _forget(self, run_id: str, mark: Path) -> None:
        forget_checkpoints(self._home, run_id)
        mark.unlink(missing_ok=True)
