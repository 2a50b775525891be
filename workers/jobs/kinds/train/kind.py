"""`train`: this worker's half of a run, as client or server."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from splitcore.errors import AppError
from workers.contracts import Assignment, Claim, ClaimReply, Exit, Phase, Role
from workers.errors import error_info
from workers.hub import HubClient, HubError
from workers.jobs.folder import JobFolder, JobResult, JobSpec, Peer
from workers.jobs.kinds.kind import Ended, JobKind
from workers.jobs.kinds.train.delivery import queue_files
from workers.jobs.setting import JobSetting
from workers.outbox.spool import Spool
from workers.policy import SitePolicy
from workers.settings import WorkerHome

if TYPE_CHECKING:
    from splitcore.run.settings import HalfResult

log = logging.getLogger(__name__)
WAITS_ITS_TURN = "CL-1511"
PATIENCE = 60.0  # seconds for which the hub is asked


class Train(JobKind):
    """The hub gives it out by a claim, and each claim is an attempt; its end goes out whatever becomes of it."""

    name: ClassVar[str] = "train"
    is_steered = True

    def rule(self, assignment: Assignment, policy: SitePolicy) -> None:
        """An evaluator has no half."""
        super().rule(assignment, policy)
        if assignment.role is Role.EVALUATOR:
            raise AppError("CL-1425", "An evaluator doesn't train.")

    def claim(
        self, home: WorkerHome, folder: JobFolder, assignment: Assignment, *, job_id: str, highest_attempt: int
    ) -> int | None:
        """Ask the hub for the next attempt; None where another run is before this one, or it wants none."""
        claim = Claim(
            participant_id=assignment.participant_id,
            contract_hash=assignment.contract_hash,
            job_id=job_id[:120],
            highest_attempt=highest_attempt,
        )
        client = HubClient.of(home)
        try:
            path = f"/runs/{assignment.run_id}/claim"
            reply = client.call("POST", path, claim, reply=ClaimReply, patience=PATIENCE)
        except HubError as error:
            if error.code == WAITS_ITS_TURN:
                log.info("the job %s waits: it is queued behind another run", job_id)
            else:
                log.warning("the hub did not issue the job %s: %s", job_id, error.code)
            return None
        finally:
            client.close()
        folder.write_desired(reply.desired)
        return reply.attempt

    def tell(self, home: WorkerHome, folder: JobFolder, assignment: Assignment) -> None:
        """Pass on to a client half where the server half listens, if this site lets tensors go there."""
        if assignment.role is not Role.CLIENT or not assignment.server_address:
            return
        host, _, port = assignment.server_address.rpartition(":")
        policy = SitePolicy.load(home.policy_file)  # one that cannot be read ends nothing that runs already
        try:
            policy.check_host(host)
        except AppError as refusal:
            folder.condemn(error_info(refusal))
            return
        if port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            folder.write_peer(Peer(host=host, port=int(port), attempt=assignment.server_attempt, certificate_pem=""))

    def run(self, setting: JobSetting) -> JobResult:
        """Train this site's part of the model."""
        with setting.frames:
            result = _half_of(setting)(setting)
        setting.reporter.close()
        if result.status == "stopped":
            return JobResult(outcome="stopped", checkpoint_step=result.step if result.checkpoint else None)
        setting.reporter.phase(Phase.UPLOADING, step=result.step)
        return JobResult(outcome="done")

    def deliver(self, ended: Ended, result: JobResult) -> JobResult:
        """Queue the segments and the tokenizer of a half that is done."""
        return queue_files(ended, result) if result.outcome == "done" else result

    def report(self, spool: Spool, assignment: Assignment, attempt: int, result: JobResult) -> None:
        """Every end of a half is told: with a stop it is the confirmation."""
        spool.post(
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind="exit",
            attempt=attempt,
            body=Exit(
                participant_id=assignment.participant_id,
                attempt=attempt,
                outcome=result.outcome,
                error=result.error,
                checkpoint_step=result.checkpoint_step,
            ),
        )

    def report_at_once(self, home: WorkerHome, spec: JobSpec, error: AppError) -> None:
        """The exit goes to the hub past the spool; else the agent reports the loss."""
        participant_id = spec.assignment.participant_id
        message = Exit(participant_id=participant_id, attempt=spec.attempt, outcome="failed", error=error_info(error))
        client = HubClient.of(home)
        try:
            client.post(f"/runs/{spec.assignment.run_id}/exit", message, patience=PATIENCE)
        except HubError as refusal:
            log.warning("the hub rejected the exit: %s", refusal.code)
        finally:
            client.close()


def _half_of(setting: JobSetting) -> Callable[[JobSetting], HalfResult]:
    """The half of this worker's role; the other one is not even imported."""
    if setting.own.role is Role.SERVER:
        from workers.jobs.kinds.train.server_half import run_server

        return run_server
    if setting.own.role is Role.CLIENT:
        from workers.jobs.kinds.train.client_half import run_client

        return run_client
    raise AppError("CL-1524", "An evaluator doesn't train.")
