"""What every signed-in page needs: a person, and the organisation for which they act."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.orgs.models import Membership, Organisation


class MemberRequest(HttpRequest):
    """The request that a `member_required` view gets: person, organisation and membership are there."""

    user: User  # type: ignore[assignment]
    organisation: Organisation
    membership: Membership


def member_required(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Send visitors to the sign-in page, and people without an organisation to the page that creates one."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        if getattr(request, "organisation", None) is None:
            return redirect("orgs:new")
        return view(request, *args, **kwargs)

    return guarded


def signed_in_required(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Send visitors to the sign-in page; an organisation is not needed."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return view(request, *args, **kwargs)

    return guarded


def answer_action(request: HttpRequest, act: Callable[[], object], *, done: str, to: str) -> HttpResponse:
    """Run a service for a button: success and what cannot be done now become messages, a missing role stays a 403."""
    try:
        act()
    except AppError as error:
        if error.code == "CL-1601":
            raise
        messages.error(request, f"{error.message} {error.remedy} ({error.code})")
    else:
        messages.success(request, done)
    return redirect(to)
