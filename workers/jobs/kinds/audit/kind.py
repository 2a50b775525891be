"""`audit`: a recorded training on this site's own rows is attacked here, and the figures are told."""

from __future__ import annotations

import shutil
from typing import ClassVar

from splitcore.errors import AppError
from workers.contracts import Assignment, AuditEnd, Role
from workers.jobs.folder import JobFolder, JobResult
from workers.jobs.kinds.kind import Ended, JobKind
from workers.jobs.setting import JobSetting
from workers.outbox.spool import Spool
from workers.policy import SitePolicy


class Audit(JobKind):
    """It writes no record of the party's, whose half may train meanwhile: only its end is told."""

    name: ClassVar[str] = "audit"
    is_beside = True
    is_repeatable = True
    is_alone = True
    tells_phases = False

    def rule(self, assignment: Assignment, policy: SitePolicy) -> None:
        """A party with rows may be asked, unless its site forbids audits. Raises AppError CL-1425, CL-1553."""
        super().rule(assignment, policy)
        if policy.audits == "forbid":
            raise AppError("CL-1553")
        if assignment.role is not Role.CLIENT:
            raise AppError("CL-1425", "Only a party that trains on rows of its own can be audited.")

    def run(self, setting: JobSetting) -> JobResult:
        """Audit the contract's configuration with the party's rows."""
        from workers.jobs.kinds.audit.measuring import run_audit

        return JobResult(outcome="done", figures=run_audit(setting).model_dump(mode="json"))

    def clear(self, folder: JobFolder) -> None:
        """Leave nothing of frames and guesses here."""
        shutil.rmtree(folder.out, ignore_errors=True)

    def deliver(self, ended: Ended, result: JobResult) -> JobResult:
        """Nothing but the report is delivered."""
        self.clear(ended.folder)
        return result

    def report(self, spool: Spool, assignment: Assignment, attempt: int, result: JobResult) -> None:
        """The figures, or why there are none."""
        spool.post(
            run_id=assignment.run_id,
            participant_id=assignment.participant_id,
            kind="exit",
            attempt=attempt,
            body=AuditEnd(
                participant_id=assignment.participant_id,
                attempt=attempt,
                outcome=result.outcome,
                error=result.error,
                kind=self.name,
                subject=assignment.subject,
                audit=result.figures,  # type: ignore[arg-type]  # read and checked as an AuditResult
            ),
        )
