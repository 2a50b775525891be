"""What the hub wants, put into practice: verdicts on contracts, doorbells for jobs, stops, and losses reported.

The hub's list is the truth and is compared with this machine's at every look, so that a lost doorbell, a killed
process or a restarted agent needs no special case.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from splitcore.errors import AppError
from splitcore.wire.certificates import load_identity
from workers.agent.spool import JobRow, Spool
from workers.contracts import Assignment, Assignments, Desired, ErrorInfo, Exit, Role
from workers.data.store import DatasetStore
from workers.hub import HubClient, HubError
from workers.jobs.errors import error_info
from workers.jobs.folder import JobFolder, Peer, forget_checkpoints, job_id_of
from workers.models_registry import ModelRegistry
from workers.policy import SitePolicy
from workers.policy_review import Review, Site, review
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

log = logging.getLogger(__name__)
RING_AGAIN = 5.0  # seconds after which an unanswered doorbell is rung again; doubled each time
RING_MOST = 120.0


class Duty:
    """Compares and acts. `apply` runs in one thread at a time; `desire` may come from another."""

    def __init__(
        self, home: WorkerHome, config: WorkerConfig, spool: Spool, hub: HubClient, ring: Callable[[str, str], None]
    ) -> None:
        self._home, self._config, self._spool, self._hub, self._ring = home, config, spool, hub, ring
        self._rung: dict[str, float] = {}  # job → when its bell was rung on the present queue
        self._judged: set[tuple[str, str]] = set()
        self._lock = threading.Lock()

    def apply(self, wanted: Assignments) -> None:
        """Act on the hub's list. One assignment's failure does not keep the others."""
        for assignment in wanted.assignments:
            try:
                with self._lock:
                    self._apply(assignment)
            except HubError:
                raise
            except AppError as error:
                log.error("assignment %s: %s", assignment.participant_id, error)
        with self._lock:
            self._end_unwanted({job_id_of(item) for item in wanted.assignments if item.kind != "review"})
        for run_id in wanted.settled:
            forget_checkpoints(self._home, run_id)

    def forget_rings(self) -> None:
        """The queue was started anew: every doorbell on it is lost and is rung again at the next look."""
        self._rung.clear()

    def stop_all(self) -> None:
        """The hub has shut this worker out: nothing goes on training."""
        with self._lock:
            self._end_unwanted(set())

    def desire(self, participant_id: str, attempt: int, desired: Desired) -> None:
        """What the hub wants of a participant's attempt now, as a telemetry reply tells it.

        The reply may come late: what was said of an older attempt does not touch the one that runs.
        """
        if desired is Desired.NONE:
            return
        for row in self._spool.jobs(state="running"):
            if (row.participant_id, row.attempt, row.kind) == (participant_id, attempt, "train"):
                folder = JobFolder.of(self._home, row.run_id, row.job_id)
                if folder.condemned() is None:
                    folder.write_desired(desired)

    def _apply(self, assignment: Assignment) -> None:
        if assignment.kind == "review":
            self._judge(assignment)
            return
        job_id = job_id_of(assignment)
        folder, row = JobFolder.of(self._home, assignment.run_id, job_id), self._spool.job(job_id)
        if assignment.desired is Desired.STOPPED:
            self._stop(assignment, job_id, folder, row)
        elif assignment.desired is not Desired.NONE:
            if row is not None and row.state != "rung" and 0 < row.attempt < assignment.wanted_attempt:
                row = self._renew(assignment, folder, row)
            if row is None or row.state != "exited":
                self._keep_running(assignment, job_id, folder, row)

    # ── contracts ──

    def _judge(self, assignment: Assignment) -> None:
        """Tell the hub what the site's policy says of a contract, once each."""
        key = (assignment.participant_id, assignment.contract_hash)
        if key in self._judged:
            return
        found = self._review(assignment)
        self._hub.post(f"/runs/{assignment.run_id}/verdict", found.verdict(assignment))
        self._judged.add(key)

    def _review(self, assignment: Assignment) -> Review:
        site = Site(
            worker_id=self._config.worker_id,
            organisation_id=self._config.enrolment.organisation_id,
            fingerprint=load_identity(self._home.keys).fingerprint,
            policy=SitePolicy.load(self._home.policy_file),
            trust=TrustBook.load(self._home),
            models=ModelRegistry(self._home),
            has_dataset=self._has_dataset,
        )
        found = review(assignment, site)
        for refusal in found.refusals:
            log.warning("policy refuses run %s: %s: %s", assignment.run_id, refusal.field, refusal.message)
        return found

    def _has_dataset(self, version_id: str, digest: str) -> bool:
        try:
            DatasetStore(self._home.root).open(digest)
        except AppError:
            return False
        return True

    # ── jobs ──

    def _keep_running(self, assignment: Assignment, job_id: str, folder: JobFolder, row: JobRow | None) -> None:
        if folder.is_alive():
            if assignment.kind == "train" and folder.condemned() is None:
                folder.write_desired(assignment.desired)
                self._tell_peer(assignment, folder)
        elif row is not None and row.state == "running":
            self._lost(assignment, row)
        elif row is not None and not self._is_ring_due(row):
            return
        elif row is not None or self._admit(assignment, job_id, folder):
            self._ring_for(assignment, job_id, folder)

    def _renew(self, assignment: Assignment, folder: JobFolder, row: JobRow) -> JobRow:
        """The hub wants a newer attempt: end what runs, then make the job ready to be rung for once more."""
        if folder.is_alive():
            folder.write_desired(Desired.STOPPED)
            return replace(row, state="exited")
        if row.state == "running":
            self._lost(assignment, row)
            return replace(row, state="exited")
        folder.renew()
        self._spool.job_waiting(row.job_id)
        self._rung.pop(row.job_id, None)
        if not self._admit(assignment, row.job_id, folder):
            return replace(row, state="exited")
        return replace(row, state="rung", rings=1)

    def _is_ring_due(self, row: JobRow) -> bool:
        rung = self._rung.get(row.job_id)
        patience = min(RING_AGAIN * 2 ** min(row.rings - 1, 6), RING_MOST)
        return rung is None or time.monotonic() - rung > patience

    def _admit(self, assignment: Assignment, job_id: str, folder: JobFolder) -> bool:
        """Check the contract again before its job is started; the site has the last word."""
        found = self._review(assignment)
        if found.refusals or found.contract is None:
            reasons = " ".join(refusal.message for refusal in found.refusals)
            error = error_info(AppError("CL-1509", f"This site's policy refuses the contract: {reasons}"))
            self._hub.post(f"/runs/{assignment.run_id}/verdict", found.verdict(assignment))
            self._close(assignment, job_id, _exit(assignment, "failed", error))
            return False
        trust = TrustBook.load(self._home)
        for part in found.contract.participants:
            if part.worker_id != self._config.worker_id:
                trust.remember(part.worker_id, part.fingerprint)
        trust.save(self._home)
        folder.create()
        return True

    def _ring_for(self, assignment: Assignment, job_id: str, folder: JobFolder) -> None:
        folder.write_assignment(assignment)
        folder.write_desired(assignment.desired)
        self._spool.job_rung(
            job_id=job_id, run_id=assignment.run_id, participant_id=assignment.participant_id, kind=assignment.kind
        )
        self._tell_peer(assignment, folder)
        self._rung[job_id] = time.monotonic()
        self._ring(assignment.run_id, job_id)

    def _tell_peer(self, assignment: Assignment, folder: JobFolder) -> None:
        """Pass on where the server half listens, if this site lets tensors go there."""
        if assignment.role is not Role.CLIENT or assignment.kind != "train" or not assignment.server_address:
            return
        host, _, port = assignment.server_address.rpartition(":")
        if not SitePolicy.load(self._home.policy_file).allows_host(host):
            folder.condemn(error_info(AppError("CL-1424", f"This site's policy does not let tensors go to {host}.")))
        elif port.isdigit():
            folder.write_peer(Peer(host=host, port=int(port), attempt=assignment.server_attempt, certificate_pem=""))

    def _stop(self, assignment: Assignment, job_id: str, folder: JobFolder, row: JobRow | None) -> None:
        """Stop a live job; confirm for one that has no process."""
        if folder.is_alive():
            folder.write_desired(Desired.STOPPED)
        elif row is not None and row.state == "running":
            self._lost(assignment, row)
        elif row is None or row.state != "exited":
            self._close(assignment, job_id, _exit(assignment, "stopped"))

    def _lost(self, assignment: Assignment, row: JobRow) -> None:
        """The supervisor was killed, and the half with it. A check is simply tried again."""
        if assignment.kind != "train":
            self._spool.job_waiting(row.job_id)
            return
        stopped = assignment.desired is Desired.STOPPED
        last_word = JobFolder.of(self._home, row.run_id, row.job_id).result()  # the half's, where it had one
        cause = last_word.error if last_word and last_word.error else error_info("CL-1520")
        log.warning("the job %s is gone without a word", row.job_id)
        message = Exit(
            participant_id=row.participant_id,
            attempt=row.attempt,
            outcome="stopped" if stopped else "failed",
            error=None if stopped else cause,
        )
        self._close(assignment, row.job_id, message)

    def _close(self, assignment: Assignment, job_id: str, message: Exit) -> None:
        """Queue an exit on behalf of a job that has no process."""
        if self._spool.job(job_id) is None:
            self._spool.job_rung(
                job_id=job_id, run_id=assignment.run_id, participant_id=assignment.participant_id, kind=assignment.kind
            )
        if assignment.kind == "train":
            self._spool.post(
                run_id=assignment.run_id,
                participant_id=assignment.participant_id,
                kind="exit",
                attempt=message.attempt,
                body=message,
            )
        self._spool.job_exited(job_id, message.outcome)

    def _end_unwanted(self, wanted: set[str]) -> None:
        """Stop what runs here although the hub does not list it any more."""
        for row in self._spool.jobs(state="running"):
            if row.job_id in wanted:
                continue
            folder = JobFolder.of(self._home, row.run_id, row.job_id)
            if folder.is_alive():
                folder.write_desired(Desired.STOPPED)
            else:
                self._spool.job_exited(row.job_id, "stopped")


def _exit(assignment: Assignment, outcome: Literal["failed", "stopped"], error: ErrorInfo | None = None) -> Exit:
    return Exit(participant_id=assignment.participant_id, attempt=assignment.attempt, outcome=outcome, error=error)
