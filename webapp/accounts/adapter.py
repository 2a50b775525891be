"""How sign-in behaves here: guesses are throttled with a 429, and an invitation is not lost on the way."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.internal import ratelimit
from django.http import HttpRequest

from splitcore.errors import AppError
from webapp.orgs.models import Invitation


class AccountAdapter(DefaultAccountAdapter):
    """allauth's behaviour with two differences."""

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt; beyond the limit answer CL-1603 (429) instead of an error in the form."""
        key = self._get_login_attempts_cache_key(request, **credentials)
        self._login_failed_rl_usage = ratelimit.consume(request, app="allauth.account", action="login_failed", key=key)
        if not self._login_failed_rl_usage:
            raise AppError("CL-1603")

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Back to the invitation that led here, else the home page."""
        return _waiting_invitation(request) or str(super().get_login_redirect_url(request))

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """As after signing in."""
        return _waiting_invitation(request) or str(super().get_signup_redirect_url(request))


def _waiting_invitation(request: HttpRequest) -> str:
    """The page of the open invitation whose link this browser has opened, if any."""
    invitation = Invitation.objects.filter(pk=request.session.get("invitation_id", "")).first()
    return f"/invite/{invitation.pk}" if invitation is not None and invitation.is_open else ""
