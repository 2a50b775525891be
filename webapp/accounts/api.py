"""REST operations of `accounts`: who am I, my tokens. A token is made in the browser alone."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from webapp.accounts.api_auth import READ_AUTH, Principal, TokenAuth
from webapp.accounts.schemas import MeOut, PersonOut, TokenOut
from webapp.accounts.scopes import Scope
from webapp.accounts.selectors import token_get_for, tokens_visible_to
from webapp.accounts.services import token_revoke
from webapp.orgs.selectors import membership_of

router = Router(tags=["accounts"])


@router.get("/me", auth=READ_AUTH, response=MeOut)
def me(request: HttpRequest) -> MeOut:
    """Who the token acts as."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    membership = membership_of(principal.user, principal.organisation)
    user, token = principal.user, principal.token
    return MeOut(
        user=PersonOut(id=user.pk, name=user.name, email=user.email),
        organisation=principal.organisation.pk,
        organisation_name=principal.organisation.name,
        role=membership.role if membership else "",
        scopes=token.scopes if token else [],
        expires_at=token.expires_at if token else None,
    )


@router.get("/tokens", auth=READ_AUTH, response=list[TokenOut])
def list_tokens(request: HttpRequest) -> list[TokenOut]:
    """One's own tokens; an administrator's call lists those of every member."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    return [TokenOut.of(token) for token in tokens_visible_to(principal.user)]


@router.delete("/tokens/{pub:token_id}", auth=TokenAuth(Scope.ADMIN), response=TokenOut)
def revoke_token(request: HttpRequest, token_id: str) -> TokenOut:
    """End a token at once."""
    principal: Principal = request.auth  # type: ignore[attr-defined]
    return TokenOut.of(token_revoke(actor=principal.user, token=token_get_for(user=principal.user, token_id=token_id)))
