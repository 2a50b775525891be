"""For which organisation a person acts in this request, and whether they have signed in as it requires."""

from __future__ import annotations

from collections.abc import Callable

from allauth.mfa.utils import is_mfa_enabled
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from splitcore.errors import AppError
from webapp.orgs.models import Membership
from webapp.orgs.selectors import memberships_of


class CurrentOrganisationMiddleware:
    """Sets `request.organisation` and `request.membership`: the session's choice, else the first, else none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look the memberships up once."""
        memberships = list(memberships_of(request.user))
        chosen = request.session.get("organisation_id") if memberships else None
        first = memberships[0] if memberships else None
        membership = next((one for one in memberships if one.organisation_id == chosen), first)
        request.memberships = memberships  # type: ignore[attr-defined]
        request.membership = membership  # type: ignore[attr-defined]
        request.organisation = membership.organisation if membership else None  # type: ignore[attr-defined]
        return self.get_response(request)


class SecondFactorMiddleware:
    """Leads members of an organisation that requires a second factor to its set-up, before any other page.

    One such organisation is enough: what a person sees comes from all of theirs.
    """

    OPEN_PREFIXES = ("/accounts/", "/static/", "/errors/", "/invite/", "/health")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let through who has a second factor, or needs none."""
        memberships: list[Membership] = request.memberships  # type: ignore[attr-defined]
        requiring = next((one.organisation for one in memberships if one.organisation.require_second_factor), None)
        if requiring is None or request.path == "/" or request.path.startswith(self.OPEN_PREFIXES):
            return self.get_response(request)
        assert request.user.is_authenticated
        if is_mfa_enabled(request.user):
            return self.get_response(request)
        if request.path.startswith("/api/"):
            # Raised in a middleware it would not reach the handler of errors.
            from webapp.core.middleware import app_error_response

            return app_error_response(request, AppError("CL-1607"))
        messages.warning(request, f"{requiring.name} requires a second factor: set it up to go on.")
        return redirect("mfa_activate_totp")
