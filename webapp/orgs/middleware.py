"""For which organisation a person acts in this request, and whether they have signed in as it requires."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from webapp.accounts.sessions import by_password_alone
from webapp.orgs.models import Membership, Organisation
from webapp.orgs.permissions import second_factor_missing
from webapp.orgs.selectors import has_second_factor, memberships_held_by


class CurrentOrganisationMiddleware:
    """Sets `request.organisation` and `request.membership`: the session's choice, else the first, else none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look the memberships up once."""
        if request.user.is_authenticated:
            request.user.by_password_alone = by_password_alone(request.session)  # type: ignore[attr-defined]
        held = list(memberships_held_by(request.user))
        memberships = [one for one in held if not barred(one)]
        chosen = request.session.get("organisation_id") if memberships else None
        first = memberships[0] if memberships else None
        membership = next((one for one in memberships if one.organisation_id == chosen), first)
        request.barred_from = [one.organisation for one in held if barred(one)]  # type: ignore[attr-defined]
        request.membership = membership  # type: ignore[attr-defined]
        request.organisation = membership.organisation if membership else None  # type: ignore[attr-defined]
        return self.get_response(request)


def barred(membership: Membership) -> bool:
    """Whether a membership, as `memberships_held_by` finds it, lacks the second factor that it needs."""
    return not membership.may_act  # type: ignore[attr-defined]


class SecondFactorMiddleware:
    """Leads members of an organisation that requires a second factor to it, or to its set-up, before any other page.

    The rule itself is in `memberships_of`; this is the friendly way to it. One such organisation is enough, so that
    nobody wonders where half of their projects went. An invitation can be read; answering it is a page like others.
    """

    OPEN_PREFIXES = ("/accounts/", "/static/", "/errors/", "/health", "/metrics")

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Let through who has given a second factor, or needs none."""
        barred_from: list[Organisation] = request.barred_from  # type: ignore[attr-defined]
        if not barred_from or self._is_open(request):
            return self.get_response(request)
        if request.path.startswith("/api/"):
            # Raised in a middleware it would not reach the handler of errors.
            from webapp.core.middleware import app_error_response

            return app_error_response(request, second_factor_missing(barred_from[0]))
        if has_second_factor(request.user):  # type: ignore[arg-type]
            messages.warning(request, f"{barred_from[0].name} requires a second factor. Enter a code to continue.")
            back = request.get_full_path() if request.method == "GET" else "/home"
            return redirect(f"{reverse('mfa_reauthenticate')}?{urlencode({'next': back})}")
        messages.warning(request, f"{barred_from[0].name} requires a second factor. Set one up to continue.")
        return redirect("mfa_activate_totp")

    def _is_open(self, request: HttpRequest) -> bool:
        reads_invitation = request.path.startswith("/invite/") and request.method in ("GET", "HEAD")
        return request.path == "/" or reads_invitation or request.path.startswith(self.OPEN_PREFIXES)
