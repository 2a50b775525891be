"""What the hub wants, put into practice: verdicts on contracts, doorbells for jobs, stops, and losses reported.

The hub's list is the truth and is compared with this machine's at every look, so that a lost doorbell, a killed
process or a restarted agent needs no special case.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from splitcore.errors import AppError
from workers.agent.questions import Question, Questions
from workers.agent.spool import JobRow, Spool
from workers.approvals import ApprovalBook
from workers.contracts import Assignment, Assignments, ContractDocument, Desired, ErrorInfo, Exit, PolicyVerdict, Role
from workers.hub import HubClient, HubError
from workers.jobs.errors import error_info
from workers.jobs.folder import JobFolder, Peer, forget_checkpoints, job_id_of
from workers.jobs.report import post_failed_check
from workers.policy import SitePolicy
from workers.policy_review import Review, Site, other_contract, other_participant, review
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import TrustBook

log = logging.getLogger(__name__)
RING_AGAIN = 5.0  # seconds after which an unanswered doorbell is rung again; doubled each time
RING_MOST = 120.0
REFUSED = "refused"  # outcome of a job that the site did not let in


class Duty:
    """Compares and acts. `apply` runs in one thread at a time; `desire` may come from another."""

    def __init__(
        self, home: WorkerHome, config: WorkerConfig, spool: Spool, hub: HubClient, ring: Callable[[str, str], None]
    ) -> None:
        self._home, self._config, self._spool, self._hub, self._ring = home, config, spool, hub, ring
        self._rung: dict[str, float] = {}  # job → when its bell was rung on the present queue
        self._told: dict[tuple[str, str], PolicyVerdict] = {}  # (participant, contract) → the verdict that the hub has
        self._reviewed: list[tuple[int, ...]] = []  # the site's files as they were when live jobs were reviewed last
        self._questions = Questions(home.spool_file)
        self._lock = threading.Lock()

    def apply(self, wanted: Assignments) -> None:
        """Act on the hub's list. One assignment's failure does not keep the others."""
        self.review_live()
        for assignment in wanted.assignments:
            try:
                with self._lock:
                    self._apply(assignment)
            except HubError:
                raise
            except AppError as error:
                log.error("assignment %s: %s", assignment.participant_id, error)
        with self._lock:
            self._end_unwanted(_job_ids(wanted), spared=frozenset(wanted.unread))
        if not wanted.unread:  # what is listed and can't be read may be what a person is asked for
            self._questions.keep_asking({item.run_id for item in wanted.assignments})
        for run_id in wanted.settled:
            try:
                forget_checkpoints(self._home, run_id)
            except AppError as error:
                log.error("settled run: %s", error)

    def review_live(self) -> None:
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
            for row in self._spool.jobs(state="running"):
                try:
                    self._review_live(JobFolder.of(self._home, row.run_id, row.job_id))
                except AppError as error:
                    log.error("the job %s is not reviewed: %s", row.job_id, error)
            self._reviewed = state

    def _review_live(self, folder: JobFolder) -> None:
        if not folder.is_alive() or folder.condemned() is not None:
            return
        found = review(folder.read_assignment(), Site.load(self._home, self._config, is_admitted=True))
        if not found.accepted:
            log.warning("a live job is ended: %s", found.error())
            folder.condemn(error_info(found.error()))

    def forget_rings(self) -> None:
        """The queue was started anew: every doorbell on it is lost and is rung again at the next look."""
        self._rung.clear()

    def stop_all(self) -> None:
        """The hub has shut this worker out: nothing goes on training."""
        with self._lock:
            self._end_unwanted(set())

    def hold_all(self) -> None:
        """The hub has put this worker into quarantine: its halves stand still until the hub lists them again."""
        for row in self._spool.jobs(state="running"):
            folder = JobFolder.of(self._home, row.run_id, row.job_id)
            if row.kind == "train" and folder.condemned() is None and folder.desired() is not Desired.STOPPED:
                folder.write_desired(Desired.PAUSED)

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

    def over_budget(self, participant_id: str, attempt: int, error: AppError) -> None:
        """No more may leave of a participant's run: what runs of it here ends, and says why."""
        for row in self._spool.jobs(state="running"):
            if (row.participant_id, row.attempt, row.kind) == (participant_id, attempt, "train"):
                folder = JobFolder.of(self._home, row.run_id, row.job_id)
                if folder.condemned() is None:
                    folder.condemn(error_info(error))

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
        """Tell the hub what the site says of a contract."""
        self._tell_verdict(self._review(assignment))

    def _tell_verdict(self, found: Review) -> None:
        """Once for each outcome: it changes when the operator trusts a certificate or edits the policy."""
        verdict = found.verdict()
        key = (verdict.participant_id, verdict.contract_hash)
        if self._told.get(key) == verdict:
            return
        for refusal in verdict.refusals:
            log.warning("refused run %s: %s: %s", found.assignment.run_id, refusal.field, refusal.message)
        try:
            self._hub.post(f"/runs/{found.assignment.run_id}/verdict", verdict)
        except HubError as error:
            if error.transient:
                raise
            log.warning("the hub does not take the verdict on %s: %s", found.assignment.run_id, error.code)
        self._told[key] = verdict

    def _review(self, assignment: Assignment, trust: TrustBook | None = None) -> Review:
        """The site's whole check, as its files are now, and the bond to the contract that was admitted before."""
        admitted = self._spool.admitted_contract(assignment.run_id)
        if admitted is not None and admitted != assignment.contract_hash:
            return other_contract(assignment)
        taken = self._spool.admitted_participant(assignment.contract_hash, assignment.party)
        if taken not in (None, assignment.participant_id):
            return other_participant(assignment)
        found = review(assignment, Site.load(self._home, self._config, trust=trust))
        if found.contract is not None:
            self._questions.asked(assignment.run_id, _questions(found, found.contract))
        return found

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
        if assignment.kind != "train" or folder.condemned() is not None:
            return
        if row is not None and (row.contract_hash, row.party) != (assignment.contract_hash, assignment.party):
            found = other_contract(assignment)
            self._tell_verdict(found)
            folder.condemn(error_info(found.error()))
            return
        folder.write_desired(assignment.desired)
        self._tell_peer(assignment, folder)

    def _renew(self, assignment: Assignment, folder: JobFolder, row: JobRow) -> JobRow:
        """The hub wants a newer attempt: end what runs, then make the job ready to be rung for once more."""
        if folder.is_alive():
            folder.write_desired(Desired.STOPPED)
            return replace(row, state="exited")
        if row.state == "running":
            self._lost(assignment, row)
            return replace(row, state="exited")
        if row.outcome == REFUSED and not self._review(assignment).accepted:
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
            found = self._review(assignment, trust)
            if found.accepted and found.contract is not None and found.own is not None:
                Site.load(self._home, self._config, trust=trust).remember(found.contract, found.own)
                return found
        self._tell_verdict(found)
        if not found.waits:  # it waits for a person of this site, and starts once that one has approved
            message = _exit(assignment, "failed", error_info(found.error()))
            self._close(assignment, job_id, message, outcome=REFUSED)
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
        elif port.isascii() and port.isdigit() and 0 < int(port) < 65536:
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

    def _close(self, assignment: Assignment, job_id: str, message: Exit, *, outcome: str = "") -> None:
        """Queue an exit on behalf of a job that has no process."""
        if assignment.kind == "train":
            self._spool.post(
                run_id=assignment.run_id,
                participant_id=assignment.participant_id,
                kind="exit",
                attempt=message.attempt,
                body=message,
            )
        elif message.error is not None:
            post_failed_check(self._spool, assignment, message.attempt, message.error)
        self._spool.job_over(
            job_id=job_id,
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind=assignment.kind,
            outcome=outcome or message.outcome,
        )

    def _end_unwanted(self, wanted: set[str], *, spared: frozenset[str] = frozenset()) -> None:
        """Stop what runs here although the hub does not list it any more; not where its entry cannot be read."""
        for row in self._spool.jobs(state="running"):
            if row.job_id in wanted or row.participant_id in spared:
                continue
            folder = JobFolder.of(self._home, row.run_id, row.job_id)
            if folder.is_alive():
                folder.write_desired(Desired.STOPPED)
            else:
                self._spool.job_exited(row.job_id, "stopped")


def _job_ids(wanted: Assignments) -> set[str]:
    """The jobs that the hub lists; an id that is none names no job."""
    found = set()
    for item in wanted.assignments:
        with contextlib.suppress(AppError):
            found.add(job_id_of(item))
    return found


def state_of(path: Path) -> tuple[int, ...]:
    """What changes with a file's content; nothing where there is no file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _questions(found: Review, contract: ContractDocument) -> list[Question]:
    """What a person has to decide, on the worker's own page or by `cutlayer worker approve` and `trust`."""
    questions = [
        Question(
            "certificate",
            part.fingerprint,
            f"{part.worker} of {part.organisation}, for the run {contract.run_name}",
            part.role,
        )
        for part in found.untrusted
    ]
    if found.waits:
        digest, text = found.assignment.contract_hash, found.assignment.contract
        questions.append(Question("contract", digest, contract.run_name, text))
    return questions


def _exit(assignment: Assignment, outcome: Literal["failed", "stopped"], error: ErrorInfo | None = None) -> Exit:
    return Exit(participant_id=assignment.participant_id, attempt=assignment.attempt, outcome=outcome, error=error)
