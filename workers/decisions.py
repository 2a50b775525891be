"""What waits for a person of this site: certificates to trust and contracts to approve."""

from __future__ import annotations

from dataclasses import replace

from workers.agreement import printable
from workers.approvals import ApprovalBook
from workers.contracts import Role
from workers.outbox.questions import Questions, WaitingRow
from workers.policy import SitePolicy
from workers.settings import WorkerHome
from workers.trust import Purpose, TrustBook

# how a person reads each purpose, after "trusted"
PURPOSES: dict[Purpose, str] = {
    "compute": "to compute on this site's rows",
    "data": "to train at this compute site",
}


def purpose_of_row(row: WaitingRow) -> Purpose:
    """What a waiting certificate is to be trusted for: the role that the contract gives its holder."""
    return "compute" if row.detail == Role.SERVER else "data"


def asked_purpose(home: WorkerHome, fingerprint: str) -> Purpose:
    """What a contract that waits names this certificate for; data where none does: nothing leaves by that."""
    rows = [row for row in open_decisions(home) if (row.kind, row.subject) == ("certificate", fingerprint)]
    return purpose_of_row(rows[0]) if rows else "data"


def open_decisions(home: WorkerHome) -> list[WaitingRow]:
    """What the hub has asked for and nobody here has decided yet, newest first. Raises AppError."""
    if not home.spool_file.exists():
        return []
    book, approved = TrustBook.load(home), set(ApprovalBook.load(home).approved)
    trusted = {"compute": set(book.compute), "data": set(book.data)}
    wants_approval = SitePolicy.load(home.policy_file).approve == "local"
    return [
        replace(row, title=printable(row.title))
        for row in Questions(home.spool_file).waiting()
        if (row.kind == "certificate" and row.subject not in trusted[purpose_of_row(row)])
        or (row.kind == "contract" and row.subject not in approved and wants_approval)
    ]
