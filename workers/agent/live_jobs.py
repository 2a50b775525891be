"""The jobs that run at this site: told what is wanted of them, reviewed again, held and ended."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from splitcore.errors import AppError
from workers.approvals import ApprovalBook
from workers.contracts import Desired
from workers.errors import error_info
from workers.jobs.folder import JobFolder
from workers.jobs.kinds.registry import clear_left, is_steered
from workers.outbox.spool import JobRow, Spool
from workers.policy_review import Site, review
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

LONGEST_SECONDS = 90 * 86_400.0  # of an ended row's job no process is looked for longer after its bell
log = logging.getLogger(__name__)


class LiveJobs:
    """What can be done to a job that runs. `lock` is held while jobs are started, so that none slips through."""

    def __init__(self, home: WorkerHome, config: WorkerConfig, spool: Spool, lock: Lock) -> None:
        self._home, self._config, self._spool, self._lock = home, config, spool, lock
        self._reviewed: list[tuple[int, ...]] = []  # the site's files as they were when live jobs were reviewed last

    def review(self) -> None:
        """End what runs here and this site's files forbid by now: trust can be revoked, an approval withdrawn.

        The files are looked at when they have changed, and the jobs' own contracts, whether the hub answers or not.
        """
        with self._lock:
            state = [
                state_of(path)
                for path in (self._home.policy_file, TrustBook.path(self._home), ApprovalBook.path(self._home))
            ]
            if state == self._reviewed:
                return
            for row, folder in self._live():
                try:
                    self._review(folder)
                except AppError as error:
                    log.error("the job %s could not be reviewed: %s", row.job_id, error)
                except OSError as error:
                    state = []  # at the next look again
                    log.error("the job %s could not be ended: %s", row.job_id, error)
            self._reviewed = state

    def _live(self, participant_id: str | None = None) -> Iterator[tuple[JobRow, JobFolder]]:
        """What runs here, of one participant or of all: by its row, or by its lock, whatever the row says."""
        for row in self._spool.recent_jobs(seconds=LONGEST_SECONDS, participant_id=participant_id):
            folder = JobFolder.of(self._home, row.run_id, row.job_id)
            if row.state == "running" or folder.is_alive():
                yield row, folder

    def runs(self) -> set[str]:
        """The runs of which something runs here."""
        return {row.run_id for row, _ in self._live()}

    def _review(self, folder: JobFolder) -> None:
        if not folder.is_alive() or folder.condemned() is not None:
            return
        found = review(folder.read_assignment(), Site.load(self._home, self._config, is_admitted=True))
        if not found.accepted:
            log.warning("ending a live job: %s", found.error())
            folder.condemn(error_info(found.error()))

    def stop_all(self) -> None:
        """The hub has shut this worker out: nothing goes on training."""
        with self._lock:
            self.end_unwanted(set())

    def hold_all(self) -> None:
        """The hub has put this worker into quarantine: its halves stand still until the hub lists them again."""
        for row, folder in self._live():
            if is_steered(row.kind) and folder.condemned() is None and folder.desired() is not Desired.STOPPED:
                folder.write_desired(Desired.PAUSED)

    def desire(self, participant_id: str, attempt: int, desired: Desired) -> None:
        """What the hub wants of a participant's attempt now, as a telemetry reply tells it.

        The reply may come late: what was said of an older attempt does not touch the one that runs.
        """
        if desired is Desired.NONE:
            return
        for row, folder in self._live(participant_id):
            if row.attempt == attempt and is_steered(row.kind) and folder.condemned() is None:
                folder.write_desired(desired)

    def over_budget(self, participant_id: str, attempt: int, error: AppError) -> None:
        """No more may leave of a participant's run: what runs of it here ends, and says why."""
        for row, folder in self._live(participant_id):
            if row.attempt == attempt and is_steered(row.kind) and folder.condemned() is None:
                folder.condemn(error_info(error))

    def end_unwanted(self, wanted: set[tuple[str, str]], *, spared: frozenset[str] = frozenset()) -> None:
        """Stop what runs here although the hub does not list it any more; not where its entry cannot be read.

        `wanted`: run and id of each job that is listed.
        """
        for row, folder in self._live():
            if (row.run_id, row.job_id) in wanted or row.participant_id in spared:
                continue
            try:
                if folder.is_alive():
                    folder.write_desired(Desired.STOPPED)
                elif row.state == "running":
                    clear_left(row.kind, folder)
                    self._spool.job_exited(row.job_id, "stopped")
            except (AppError, OSError, sqlite3.Error) as error:
                log.error("the job %s could not be ended: %s", row.job_id, error)


def state_of(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; nothing where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size
