"""Writes of people and their API tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from splitcore.bounds import visible_line
from splitcore.errors import AppError
from webapp.accounts.models import ApiToken, User
from webapp.accounts.record import account_record
from webapp.accounts.scopes import Scope
from webapp.audit.services import audit_record
from webapp.core.ids import new_token, token_hash
from webapp.core.transactions import service
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, require

PREFIX = "clt"
MAX_DAYS = 365


@service
def token_create(
    *, actor: User, organisation: Organisation, name: str, scopes: Sequence[str], days: int
) -> tuple[ApiToken, str]:
    """A new API token of the person within the organisation; the secret is returned once and never stored."""
    require(actor, Action.MANAGE_TOKENS, organisation)
    if not scopes or any(scope not in set(Scope) for scope in scopes):
        raise AppError("CL-1609", f"Choose among the scopes {', '.join(Scope)}.")
    if not 1 <= days <= MAX_DAYS:
        raise AppError("CL-1609", f"A token is valid for 1 to {MAX_DAYS} days.")
    secret = new_token(PREFIX)
    token = ApiToken.objects.create(
        user=actor,
        organisation=organisation,
        name=visible_line(name, 80),
        token_hash=token_hash(secret),
        hint=secret[-4:],
        scopes=list(scopes),
        expires_at=timezone.now() + timedelta(days=days),
    )
    _recorded(actor, token, "token.created", {"scopes": list(scopes), "days": days})
    return token, secret


@service
def token_revoke(*, actor: User, token: ApiToken) -> ApiToken:
    """End a token at once: one's own, or any of the organisation for its administrators."""
    if actor.pk != token.user_id:
        require(actor, Action.MANAGE_ORGANISATION, token.organisation)
    token = ApiToken.objects.select_for_update().get(pk=token.pk)
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save()
        _recorded(actor, token, "token.revoked", {"owner": token.user.email})
    return token


@service
def person_rename(*, actor: User, name: str) -> User:
    """Change one's own name."""
    before, name = actor.name, visible_line(name)
    if name == before:
        return actor
    actor.name = name
    actor.save(update_fields=["name", "updated_at"])
    account_record(actor=actor, user=actor, action="account.name_changed", details={"from": before, "to": name})
    return actor


def _recorded(actor: User, token: ApiToken, action: str, details: dict[str, object]) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=token.organisation_id,
        object_id=token.pk,
        details={"name": token.name, **details},
    )
