"""REST operations of `audit`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest
from ninja import Query, Router, Schema

from splitcore.bounds import COUNT_MAX, Word
from webapp.accounts.api_auth import Principal, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.audit.exports import entry_dict
from webapp.audit.selectors import entries_visible_to, verify_chain
from webapp.orgs.permissions import Action, require

router = Router(tags=["audit"])


class EntryOut(Schema):
    """An entry, with all that its hash covers."""

    sequence: int
    at: datetime
    actor_kind: str
    actor_id: str
    actor_label: str
    organisation_id: str
    project_id: str
    action: str
    object_id: str
    details: dict[str, Any]
    previous_hash: str
    hash: str


class ChainOut(Schema):
    """What the check of the chain found."""

    ok: bool
    checked: int
    first_broken: int | None
    reason: str
    head_hash: str


def _auditor(request: HttpRequest) -> Principal:
    principal: Principal = request.auth  # type: ignore[attr-defined]
    require(principal.user, Action.VIEW_AUDIT, principal.organisation)
    return principal


@router.get("", auth=TokenAuth(Scope.ADMIN), response=list[EntryOut])
def list_entries(
    request: HttpRequest,
    after: int = Query(0, ge=0, le=COUNT_MAX),
    action: Word = "",
    limit: int = Query(100, ge=1, le=1000),
) -> list[dict[str, Any]]:
    """Entries of the organisation after a sequence number, oldest first."""
    caller = _auditor(request)
    found = entries_visible_to(caller.user).filter(organisation_id=caller.organisation.pk, sequence__gt=after)
    if action:
        found = found.filter(action__startswith=action)
    return [entry_dict(entry) for entry in found.order_by("sequence")[:limit]]


@router.get("/verify", auth=TokenAuth(Scope.ADMIN), response=ChainOut)
def verify(request: HttpRequest) -> ChainOut:
    """Recompute the whole chain."""
    _auditor(request)
    report = verify_chain()
    return ChainOut(
        ok=report.ok,
        checked=report.checked,
        first_broken=report.first_broken,
        reason=report.reason,
        head_hash=report.head_hash,
    )
