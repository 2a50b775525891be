"""Reads of the audit log, and the check of its chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db.models import QuerySet

from webapp.audit.models import AuditEntry
from webapp.audit.services import FIRST_HASH, entry_hash
from webapp.orgs.permissions import MATRIX, Action
from webapp.orgs.selectors import memberships_of

if TYPE_CHECKING:
    from webapp.accounts.models import User


@dataclass(frozen=True)
class ChainReport:
    """What a check of the whole chain found."""

    ok: bool
    checked: int
    first_broken: int | None
    reason: str
    head_hash: str


def verify_chain() -> ChainReport:
    """Recompute every hash in order; names the first entry that was changed, removed or put in."""
    previous, expected, checked = FIRST_HASH, 1, 0
    for entry in AuditEntry.objects.order_by("sequence").iterator(chunk_size=2000):
        reason = _fault(entry, previous, expected)
        if reason:
            return ChainReport(False, checked, entry.sequence, reason, previous)
        previous, expected, checked = entry.hash, entry.sequence + 1, checked + 1
    return ChainReport(True, checked, None, "", previous)


def _fault(entry: AuditEntry, previous: str, expected: int) -> str:
    """What is wrong with an entry, given its forerunner; empty when nothing is."""
    if entry.sequence != expected:
        return f"entry {expected} is missing"
    if entry.previous_hash != previous:
        return "it doesn't follow from the previous entry"
    if entry_hash(entry) != entry.hash:
        return "its content doesn't match its hash"
    return ""


def entries_visible_to(user: User) -> QuerySet[AuditEntry]:
    """Entries of the organisations where the person may read the log, newest first."""
    readers = memberships_of(user).filter(role__in=MATRIX[Action.VIEW_AUDIT])
    return AuditEntry.objects.filter(
        organisation_id__in=readers.order_by().values("organisation_id"),
    ).order_by("-sequence")


def entries_of_project(project_id: str) -> QuerySet[AuditEntry]:
    """The activity of a project, newest first; the caller has checked that the project is visible."""
    return AuditEntry.objects.filter(project_id=project_id).order_by("-sequence")
