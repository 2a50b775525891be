"""Which organisation a person acts for in this request."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class CurrentOrganisationMiddleware:
    """Sets `request.organisation` and `request.membership`: the session's choice, else the first, else none."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Look the membership up once."""
        request.organisation = request.membership = None  # type: ignore[attr-defined]
        if request.user.is_authenticated:
            from webapp.orgs.models import Membership

            memberships = list(
                Membership.objects.filter(user=request.user, is_active=True, organisation__is_active=True)
                .select_related("organisation")
                .order_by("created_at")
            )
            chosen = request.session.get("organisation_id")
            membership = next(
                (m for m in memberships if m.organisation_id == chosen), memberships[0] if memberships else None
            )
            if membership is not None:
                request.membership = membership  # type: ignore[attr-defined]
                request.organisation = membership.organisation  # type: ignore[attr-defined]
        return self.get_response(request)
