"""What waits for a person of this site: certificates to trust and contracts to approve."""

from __future__ import annotations

from dataclasses import replace

from workers.agent.spool import Spool, WaitingRow
from workers.agreement import printable
from workers.approvals import ApprovalBook
from workers.policy import SitePolicy
from workers.settings import WorkerHome
from workers.trust import TrustBook


def open_decisions(home: WorkerHome) -> list[WaitingRow]:
    """What the hub has asked for and nobody here has decided yet, newest first. Raises AppError."""
    if not home.spool_file.exists():
        return []
    trusted, approved = set(TrustBook.load(home).listed), set(ApprovalBook.load(home).approved)
    wants_approval = SitePolicy.load(home.policy_file).approve == "local"
    return [
        replace(row, title=printable(row.title))
        for row in Spool(home.spool_file).waiting()
        if (row.kind == "certificate" and row.subject not in trusted)
        or (row.kind == "contract" and row.subject not in approved and wants_approval)
    ]
