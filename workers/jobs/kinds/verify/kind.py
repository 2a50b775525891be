"""`verify`: the joined adapter is loaded at a recipient's site, as anybody would load it."""

from __future__ import annotations

import shutil
from typing import ClassVar

from splitcore.errors import AppError
from workers.contracts import API_PREFIX, Assignment, Check, Phase, VerifyReport
from workers.jobs.folder import JobFolder, JobResult
from workers.jobs.kinds.kind import Ended, JobKind
from workers.jobs.setting import JobSetting
from workers.outbox.spool import Spool
from workers.policy import HEX64, SitePolicy


class Verify(JobKind):
    """Every key has its place, every value is finite. The report is sent by the job itself, a failure by its end."""

    name: ClassVar[str] = "verify"
    is_beside = True  # it computes nothing with the model and holds none of it: no training is kept waiting
    is_repeatable = True

    def rule(self, assignment: Assignment, policy: SitePolicy) -> None:
        """The adapter is one of this run's, below the hub's own API."""
        super().rule(assignment, policy)
        path = f"{API_PREFIX}/runs/{assignment.run_id}/adapters/{assignment.adapter_id}"
        if not assignment.adapter_url.startswith(path):
            raise AppError("CL-1425", "The hub named no adapter of this run to check.")

    def run(self, setting: JobSetting) -> JobResult:
        """Check the adapter and queue the report."""
        from workers.jobs.kinds.verify.checking import run_verify

        run_verify(setting)
        setting.reporter.phase(Phase.DONE)
        return JobResult(outcome="done")

    def clear(self, folder: JobFolder) -> None:
        """Leave nothing of the adapter here: a hub can ask for any number of checks."""
        shutil.rmtree(folder.out, ignore_errors=True)

    def deliver(self, ended: Ended, result: JobResult) -> JobResult:
        """Nothing but the report is delivered."""
        self.clear(ended.folder)
        return result

    def report(self, spool: Spool, assignment: Assignment, attempt: int, result: JobResult) -> None:
        """A check that broke off, or that the site refused, has failed: the adapter must not count as loaded.

        Where the hub named no adapter there is nothing to report on.
        """
        error = result.error
        if result.outcome != "failed" or error is None or not HEX64.fullmatch(assignment.adapter_sha256):
            return
        check = Check(name="Check of the adapter", status="failed", detail=error.message, code=error.code)
        spool.post(
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind="verified",
            attempt=attempt,
            body=VerifyReport(
                participant_id=assignment.participant_id,
                adapter_id=assignment.adapter_id,
                adapter_sha256=assignment.adapter_sha256,
                checks=[check],
            ),
        )
