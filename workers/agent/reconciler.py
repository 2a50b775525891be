"""What the hub wants, put into practice: verdicts on contracts, doorbells for jobs, stops, and losses reported.

The hub's list is the truth and is compared with this machine's at every look, so that a lost doorbell, a killed
process or a restarted agent needs no special case.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from splitcore.errors import AppError
from workers.agent.live_jobs import LiveJobs
from workers.agent.settled import SettledRuns
from workers.agent.verdicts import Verdicts
from workers.contracts import REVIEW, Assignment, Assignments, Desired
from workers.errors import error_info
from workers.hub import HubClient, HubError
from workers.jobs.folder import JobFolder, JobResult, job_id_of
from workers.jobs.kinds.registry import ALONE, KINDS, SILENT, is_beside, is_steered, kind_of
from workers.outbox.spool import JobRow, Spool
from workers.policy_review import Review, Site, other_contract, other_job
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

log = logging.getLogger(__name__)
RING_AGAIN = 5.0  # seconds after which an unanswered doorbell is rung again; doubled each time
RING_MOST = 120.0
REFUSED = "refused"  # outcome of a job that the site did not let in


class Reconciler:
    """Compares and acts. `apply` runs in one thread at a time; what is done to `live` jobs may come from another."""

    def __init__(
        self,
        home: WorkerHome,
        config: WorkerConfig,
        spool: Spool,
        hub: HubClient,
        ring: Callable[[str, str], None],
        *,
        ring_beside: Callable[[str, str], None] | None = None,
    ) -> None:
        self._home, self._config, self._spool, self._ring = home, config, spool, ring
        self._ring_beside = ring_beside or ring
        self._rung: dict[str, float] = {}  # job → when its bell was rung on the present queue
        self._lock = threading.Lock()
        self._verdicts = Verdicts(home, config, spool, hub)
        self._settled = SettledRuns(home, spool)
        self.live = LiveJobs(home, config, spool, self._lock)

    def apply(self, wanted: Assignments) -> None:
        """Act on the hub's list, stops first. One assignment's failure does not keep the others."""
        self.live.review()
        with self._lock:
            self.live.end_unwanted(_jobs(wanted), spared=frozenset(wanted.unread))
        for assignment in sorted(wanted.assignments, key=lambda item: item.desired is not Desired.STOPPED):
            try:
                with self._lock:
                    self._apply(assignment)
            except HubError:
                raise
            except (AppError, OSError, sqlite3.Error) as error:
                log.error("assignment %s: %s", assignment.participant_id, error)
        if not wanted.unread:  # what is listed and can't be read may be what a person is asked for
            self._verdicts.keep_asking({item.run_id for item in wanted.assignments})
        self._settled.apply(wanted.settled, {item.run_id for item in wanted.assignments} | self.live.runs())

    def forget_rings(self) -> None:
        """The queue was started anew: every doorbell on it is lost and is rung again at the next look."""
        self._rung.clear()

    def _apply(self, assignment: Assignment) -> None:
        if assignment.kind == REVIEW or assignment.kind not in KINDS:
            self._verdicts.judge(assignment)  # nothing is started: of a kind that is not known here, the refusal is all
            return
        job_id = job_id_of(assignment)
        folder, row = JobFolder.of(self._home, assignment.run_id, job_id), self._spool.job(job_id)
        if row is not None and _part_of(row) != _part_of(assignment):
            self._verdicts.tell(other_job(assignment))
            return
        if assignment.desired is Desired.STOPPED:
            self._stop(assignment, job_id, folder, row)
        elif assignment.desired is not Desired.NONE:
            if row is not None and row.state != "rung" and _is_outdated(row, assignment):
                row = self._renew(assignment, folder, row)
            if row is None or row.state != "exited":
                self._keep_running(assignment, job_id, folder, row)

    # ── jobs ──

    def _keep_running(self, assignment: Assignment, job_id: str, folder: JobFolder, row: JobRow | None) -> None:
        if folder.is_alive():
            self._tell_half(assignment, folder, row)
        elif row is not None and row.state == "running":
            self._lost(assignment, row)
        elif row is None or self._is_ring_due(row):
            found = self._admit(assignment, job_id)
            if found is not None:
                self._ring_for(found, job_id, folder)

    def _tell_half(self, assignment: Assignment, folder: JobFolder, row: JobRow | None) -> None:
        """Pass on to a live half what the hub wants, and where its peer listens: of the contract it runs alone."""
        if not is_steered(assignment.kind) or folder.condemned() is not None:
            return
        if row is not None and (row.contract_hash, row.party) != (assignment.contract_hash, assignment.party):
            found = other_contract(assignment)
            self._verdicts.tell(found)
            folder.condemn(error_info(found.error()))
            return
        folder.write_desired(assignment.desired)
        kind_of(assignment).tell(self._home, folder, assignment)

    def _renew(self, assignment: Assignment, folder: JobFolder, row: JobRow) -> JobRow:
        """The hub wants a newer attempt: end what runs, then make the job ready to be rung for once more."""
        if folder.is_alive():
            folder.write_desired(Desired.STOPPED)
            return replace(row, state="exited")
        if row.state == "running":
            self._lost(assignment, row)
            return replace(row, state="exited")
        if row.outcome == REFUSED and not self._verdicts.review(assignment).accepted:
            return replace(row, state="exited")  # the hub has been told; it must not be told with each look
        folder.renew()
        self._spool.job_waiting(row.job_id)
        self._rung.pop(row.job_id, None)
        return replace(row, state="rung", rings=1)

    def _is_ring_due(self, row: JobRow) -> bool:
        rung = self._rung.get(row.job_id)
        patience = min(RING_AGAIN * 2 ** min(row.rings - 1, 6), RING_MOST)
        return rung is None or time.monotonic() - rung > patience

    def _admit(self, assignment: Assignment, job_id: str) -> Review | None:
        """The site has the last word, and has it at each ring: what was lawful once may not be so now."""
        with TrustBook.changing(self._home) as trust:
            found = self._verdicts.review(assignment, trust)
            if found.accepted and found.contract is not None and found.own is not None:
                if assignment.kind not in ALONE:
                    Site.load(self._home, self._config, trust=trust).remember(found.contract, found.own)
                return found
        if found.judges_contract:
            self._verdicts.tell(found)
        if not found.waits:  # it waits for a person of this site, and starts once that one has approved
            result = JobResult(outcome="failed", error=error_info(found.error()))
            self._close(assignment, job_id, result, outcome=REFUSED)
        return None

    def _ring_for(self, found: Review, job_id: str, folder: JobFolder) -> None:
        """Ring for what was reviewed just now, and for nothing else. Raises AppError CL-1425, CL-1509."""
        found.passed()
        assignment = found.assignment
        folder.create()
        folder.write_assignment(assignment)
        folder.write_desired(assignment.desired)
        self._spool.job_rung(
            job_id=job_id,
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind=assignment.kind,
            contract_hash=assignment.contract_hash,
            party=assignment.party,
        )
        kind_of(assignment).tell(self._home, folder, assignment)
        self._rung[job_id] = time.monotonic()
        ring = self._ring_beside if is_beside(assignment.kind) else self._ring
        ring(assignment.run_id, job_id)

    def _stop(self, assignment: Assignment, job_id: str, folder: JobFolder, row: JobRow | None) -> None:
        """Stop a live job; confirm for one that has no process."""
        if folder.is_alive():
            folder.write_desired(Desired.STOPPED)
        elif row is not None and row.state == "running":
            self._lost(assignment, row)
        elif row is None or row.state != "exited":
            self._close(assignment, job_id, JobResult(outcome="stopped"))

    def _lost(self, assignment: Assignment, row: JobRow) -> None:
        """The supervisor was killed, and the half with it."""
        folder = JobFolder.of(self._home, row.run_id, row.job_id)
        kind_of(assignment).clear(folder)
        if kind_of(assignment).is_repeatable:
            self._spool.job_waiting(row.job_id)
            return
        stopped = assignment.desired is Desired.STOPPED
        last_word = folder.result()  # the half's, where it had one
        cause = last_word.error if last_word and last_word.error else error_info("CL-1520")
        log.warning("the job %s is gone without a result", row.job_id)
        result = JobResult(outcome="stopped") if stopped else JobResult(outcome="failed", error=cause)
        self._close(assignment, row.job_id, result, attempt=row.attempt)

    def _close(
        self, assignment: Assignment, job_id: str, result: JobResult, *, attempt: int | None = None, outcome: str = ""
    ) -> None:
        """Report the end on behalf of a job that has no process."""
        kind_of(assignment).report(self._spool, assignment, assignment.attempt if attempt is None else attempt, result)
        self._spool.job_over(
            job_id=job_id,
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind=assignment.kind,
            outcome=outcome or result.outcome,
        )


def _is_outdated(row: JobRow, assignment: Assignment) -> bool:
    """Whether the part is to be taken up anew. What has no part in its phases goes on beside the new half."""
    return 0 < row.attempt < assignment.wanted_attempt and row.kind not in SILENT


def _part_of(job: JobRow | Assignment) -> tuple[str, str, str]:
    """What a job is of: its id leaves out the run, and may be read in two ways."""
    return job.run_id, job.participant_id, job.kind


def _jobs(wanted: Assignments) -> set[tuple[str, str]]:
    """Run and id of the jobs that the hub lists; an id that is none names no job."""
    found = set()
    for item in wanted.assignments:
        with contextlib.suppress(AppError):
            found.add((item.run_id, job_id_of(item)))
    return found
