"""Signing in to the REST API: a scoped, expiring token, or (to read) the browser's session."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from ninja.security import HttpBearer
from ninja.security.base import AuthBase

from splitcore.errors import AppError
from webapp.accounts.models import ApiToken, User
from webapp.accounts.scopes import Scope
from webapp.core.ids import token_hash
from webapp.core.throttle import client_address, throttle_check, throttle_count
from webapp.orgs.models import Membership, Organisation
from webapp.orgs.permissions import second_factor_missing
from webapp.orgs.selectors import lacks_second_factor, membership_of

GUESSES_PER_MINUTE = 10


@dataclass(frozen=True)
class Principal:
    """What `request.auth` holds: the person and the organisation for which the token (or session) acts."""

    user: User
    organisation: Organisation
    token: ApiToken | None


class ApiRequest(HttpRequest):
    """The request that an API operation gets."""

    auth: Principal
    user: User  # type: ignore[assignment]
    organisation: Organisation
    membership: Membership


class TokenAuth(HttpBearer):
    """`Authorization: Bearer clt_…` with the given scope; a token without it is answered CL-1604."""

    def __init__(self, scope: Scope | str) -> None:
        super().__init__()
        self.scope = Scope(scope)

    def authenticate(self, request: HttpRequest, token: str) -> Principal | None:
        """The token's person and organisation, or none (401). Wrong tokens are throttled, good ones never are."""
        found = _live_token(token)
        if found is None:
            address = client_address(request)
            throttle_check("api-token", address, GUESSES_PER_MINUTE)
            throttle_count("api-token", address)
            return None
        if self.scope not in found.scopes:
            raise AppError(
                "CL-1604",
                f"The token {found.name!r} lacks the scope {self.scope.value}; it has {', '.join(found.scopes)}.",
            )
        user = found.user
        # Selectors look at this: a token sees its own organisation's things only, whatever else the person belongs to.
        user.token_organisation_id = found.organisation_id  # type: ignore[attr-defined]
        return _principal(request, user, found.organisation, found)


class SessionReadAuth(AuthBase):
    """The browser's session, for reading only: unsafe methods need a token, so no forged form can reach them."""

    openapi_type = "apiKey"
    openapi_in = "cookie"
    openapi_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Principal | None:
        """The signed-in person and their current organisation, or none."""
        organisation = getattr(request, "organisation", None)
        if request.method not in ("GET", "HEAD") or not request.user.is_authenticated or organisation is None:
            return None
        return Principal(request.user, organisation, None)


# What a reading operation takes: pages of the hub fetch with their session, programs with a token.
READ_AUTH = [TokenAuth(Scope.READ), SessionReadAuth()]


def _live_token(secret: str) -> ApiToken | None:
    """The token of that secret if it is neither expired nor revoked and its owner may act for the organisation now.

    Raises CL-1607 where all that is missing is the owner's second factor: a token is no way round it, however old.
    """
    now = timezone.now()
    token = (
        ApiToken.objects.select_related("user", "organisation")
        .filter(token_hash=token_hash(secret), revoked_at=None, expires_at__gt=now, user__is_active=True)
        .first()
    )
    if token is None:
        return None
    if membership_of(token.user, token.organisation_id) is None:
        if lacks_second_factor(token.user, token.organisation_id):
            raise second_factor_missing(token.organisation)
        return None
    if token.last_used_at is None or (now - token.last_used_at).total_seconds() > 60:
        ApiToken.objects.filter(pk=token.pk).update(last_used_at=now)
    return token


def _principal(request: HttpRequest, user: User, organisation: Organisation, token: ApiToken) -> Principal:
    """Let services and permissions find the token's person where a page's would be."""
    request.user = user
    request.organisation = organisation  # type: ignore[attr-defined]
    request.membership = membership_of(user, organisation)  # type: ignore[attr-defined]
    return Principal(user, organisation, token)
