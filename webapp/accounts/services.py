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
from webapp.accounts.selectors import tokens_live
from webapp.audit.services import audit_record
from webapp.core.ids import new_token, token_hash
from webapp.core.names import name_check
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
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)  # a dismissal comes before or after
    require(actor, Action.MANAGE_TOKENS, organisation)
    _password_check(actor)
    if not scopes or any(scope not in set(Scope) for scope in scopes):
        raise AppError("CL-1609", f"Choose from the scopes {', '.join(Scope)}.")
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
    token = ApiToken.objects.select_for_update(no_key=True).get(pk=token.pk)
    if token.revoked_at is None:
        _end(actor, token, {})
    return token


@service
def tokens_revoke_all(*, user: User, why: str) -> None:
    """End every API token of a person at once, in whichever organisation: somebody else may have made one of them."""
    for token in tokens_live(user).select_for_update(of=("self",), no_key=True).order_by("pk"):
        _end(user, token, {"why": why})


@service
def tokens_withdraw(*, actor: User, owner: User, organisation: Organisation) -> None:
    """End the API tokens of a person whose membership ends: they open nothing again should the person come back."""
    known = tokens_live(owner).filter(organisation=organisation)
    for token in known.select_for_update(of=("self",), no_key=True).order_by("pk"):
        _end(actor, token, {"why": "the membership ended"})


@service
def person_rename(*, actor: User, name: str) -> User:
    """Change one's own name."""
    before, name = actor.name, visible_line(name)
    if name == before:
        return actor
    name_check(name)
    actor.name = name
    actor.save(update_fields=["name", "updated_at"])
    account_record(actor=actor, user=actor, action="account.name_changed", details={"from": before, "to": name})
    return actor


def _password_check(actor: User) -> None:
    """Refuse (CL-1610) whoever was signed in by a password that has just been replaced; another change waits."""
    now = User.objects.select_for_update(no_key=True).get(pk=actor.pk)
    if now.password != actor.password:
        raise AppError("CL-1610", "Your password has just been changed.", "Sign in with the new one.")


def _end(actor: User, token: ApiToken, details: dict[str, object]) -> None:
    token.revoked_at = timezone.now()
    token.save()
    _recorded(actor, token, "token.revoked", {"owner": token.user.email, **details})


def _recorded(actor: User, token: ApiToken, action: str, details: dict[str, object]) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=token.organisation_id,
        object_id=token.pk,
        details={"name": token.name, **details},
    )
