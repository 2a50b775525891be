"""Leakage audits of a run: an organisation has its own rows attacked on its own worker."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from splitcore.audit.portfolio import Size
from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.live import wake_worker
from webapp.core.transactions import service
from webapp.jobs.selectors import open_jobs
from webapp.jobs.services import job_finish, job_request
from webapp.orgs.permissions import Action, require
from webapp.runs.kinds.audit import AUDIT, Audit
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, ParticipantRole, Run
from workers.contracts import AuditSpec, kind_since

if TYPE_CHECKING:
    from webapp.jobs.models import Job

AUDITS_MAX = 50  # of one part, ever


@service
def audit_request(*, actor: User, part: Participant, size: Size) -> Job:
    """Ask a part's worker for an audit. While one is under way, that one is returned.

    Raises AppError CL-1601, CL-1555 where the run is not in a state for it, or the part has had too many.
    """
    require(actor, Action.STOP_RUN, part.organisation)
    run = run_lock(part.run_id)
    under_way = open_jobs([AUDIT]).filter(participant=part).first()
    if under_way is not None and run.state in Audit.wanted_in:
        return under_way
    if why := audit_why_not(run, part):
        raise AppError("CL-1555", why)
    spec = AuditSpec(size=size, seed=secrets.randbelow(2**31))
    job = job_request(participant_id=part.id, kind=AUDIT, subject=secrets.token_hex(8), spec=spec.model_dump())
    audit_record(
        actor=actor,
        action="leakage.audit_requested",
        organisation_id=part.organisation_id,
        project_id=run.project_id,
        object_id=run.id,
        details={"size": size, "worker": part.worker.name},
    )
    wake_worker(part.worker_id, "audit")
    return job


@service
def audit_cancel(*, actor: User, part: Participant, subject: str) -> Job:
    """End an audit before its end: its worker stops the process and deletes what it recorded.

    Raises AppError CL-1601, CL-1557 where it has ended.
    """
    require(actor, Action.STOP_RUN, part.organisation)
    run_lock(part.run_id)
    job = open_jobs([AUDIT]).filter(participant=part, subject=subject).first()
    if job is None:
        raise AppError("CL-1557")
    job_finish(job, outcome="stopped", is_gone=False)
    audit_record(
        actor=actor,
        action="leakage.audit_cancelled",
        organisation_id=part.organisation_id,
        project_id=part.run.project_id,
        object_id=part.run_id,
        details={"worker": part.worker.name},
    )
    wake_worker(part.worker_id, "audit")
    return job


def audit_why_not(run: Run, part: Participant) -> str:
    """Why a part of a run can't be audited now; empty where it can."""
    if part.role != ParticipantRole.CLIENT:
        return "Only an organisation that trains on rows of its own can audit them."
    if run.state not in Audit.wanted_in:
        return "A run can be audited once it is submitted, unless it was declined, failed or was stopped."
    if not part.worker.protocol:
        return f"The worker {part.worker.name} must connect first, to tell which protocol it supports."
    if part.worker.protocol < kind_since(AUDIT):
        return (
            f"The worker {part.worker.name} supports protocol {part.worker.protocol}, and an audit needs "
            f"{kind_since(AUDIT)}. Upgrade Cutlayer on the worker."
        )
    if part.jobs.filter(kind=AUDIT).count() >= AUDITS_MAX:
        return f"This organisation has audited its part {AUDITS_MAX} times, which is the limit."
    return ""
