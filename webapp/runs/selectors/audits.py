"""What leakage audits of a run found, for the organisation whose rows they read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from splitcore.audit.result import AuditResult
from webapp.accounts.models import User
from webapp.jobs.models import Job
from webapp.orgs.permissions import Action, can, why_not
from webapp.orgs.selectors import organisation_ids_of
from webapp.runs.kinds.audit import AUDIT, Audit
from webapp.runs.models import Participant, ParticipantRole, Run
from webapp.runs.services.audits import audit_why_not


@dataclass(frozen=True)
class LeakageAudit:
    """One audit. result: None while it is under way and where it failed, which `error` then explains.

    is_outdated: whether it is of another contract than the one that the run has now.
    """

    job: Job
    size: str
    result: AuditResult | None
    error: dict[str, Any] | None
    is_outdated: bool = False
    is_offered: bool = True  # whether the worker is still told of it: not of a run that failed or was stopped

    @property
    def is_open(self) -> bool:
        """Whether it is still to be done."""
        return self.is_offered and not self.job.outcome


@dataclass(frozen=True)
class AuditedPart:
    """A data party of the person's own organisation: its audits, the newest first.

    why_not, why_not_cancel: why none may be started, or one be cancelled; empty where it may.
    """

    part: Participant
    audits: list[LeakageAudit]
    why_not: str
    why_not_cancel: str

    @property
    def newest(self) -> LeakageAudit | None:
        """The newest that gave a result."""
        return next((one for one in self.audits if one.result is not None), None)


def audited_parts(user: User, run: Run) -> list[AuditedPart]:
    """The person's own data parties of a run. What others measured of their rows isn't shown to anybody else."""
    own = run.participants.filter(organisation__in=organisation_ids_of(user), role=ParticipantRole.CLIENT)
    return [_audited(user, run, part) for part in own.select_related("organisation", "worker")]


def _audited(user: User, run: Run, part: Participant) -> AuditedPart:
    jobs = part.jobs.filter(kind=AUDIT).prefetch_related("attempts").order_by("-created_at", "-id")
    may = can(user, Action.STOP_RUN, part.organisation)
    lacks = "" if may else why_not(user, Action.STOP_RUN, part.organisation)
    audits = [
        replace(
            leakage_audit(job),
            is_offered=run.state in Audit.wanted_in,
            is_outdated=(job.result or {}).get("contract_hash", run.contract_hash) != run.contract_hash,
        )
        for job in jobs
    ]
    return AuditedPart(part, audits, why_not=lacks or audit_why_not(run, part), why_not_cancel=lacks)


def leakage_audit(job: Job) -> LeakageAudit:
    """What a job of this kind found."""
    told = (job.result or {}).get("audit")
    attempts = list(job.attempts.all())
    error = attempts[-1].error if attempts and job.outcome not in ("", "done") else None
    return LeakageAudit(job, str(job.spec.get("size", "")), AuditResult.model_validate(told) if told else None, error)
