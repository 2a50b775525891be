"""The page that an invitation's link opens: readable without an account, answered with one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from splitcore.errors import AppError
from webapp.core.errors import http_status
from webapp.core.throttle import client_address, throttle_check, throttle_count
from webapp.core.transactions import service
from webapp.orgs.disclosure import matrix_for
from webapp.orgs.forms import DeclineForm, JoinForm
from webapp.orgs.invitations import (
    invitation_accept_partner,
    invitation_accept_person,
    invitation_decline,
    invitation_opened,
)
from webapp.orgs.models import Invitation, Membership, Organisation, Role
from webapp.orgs.permissions import MATRIX, Action
from webapp.orgs.selectors import invitation_by_key, is_addressed_to, memberships_of, organisation_get_for
from webapp.orgs.services import organisation_create
from webapp.projects.selectors import base_models_of, participations_of

GUESSES_PER_MINUTE = 10
SESSION_KEY = "invitation_id"


@never_cache
@require_http_methods(["GET", "HEAD"])
def invitation(request: HttpRequest, key: str) -> HttpResponse:
    """Who invites to what, and what will and will not leave the site.

    The link's token is swapped for the invitation's id at once, which opens for this session alone: so the token stands
    in no later address, log line or history entry. By the same id the person finds back here after signing up.
    """
    found = _find(request, key)
    if found is None:
        return _unknown(request)
    if key != found.pk:
        return _swap(request, found)
    return _page(request, key, found, status=200 if found.is_open else 410)


@never_cache
@require_POST
def invitation_accept(request: HttpRequest, key: str) -> HttpResponse:
    """Accept: as a person, or for an organisation that joins the project."""
    found = _find(request, key)
    if found is None:
        return _unknown(request)
    if key != found.pk:
        return _swap(request, found)
    if not request.user.is_authenticated:
        return redirect_to_login(reverse("orgs:invitation", args=[key]))
    form = _join_form(request, found, request.POST) if found.project_id else None
    if form is not None and not form.is_valid():
        return _page(request, key, found, form=form, status=422)
    try:
        organisation = _accept(request, found, form)
    except AppError as error:
        return _page(request, key, found, form=form, error=error, status=http_status(error.code))
    request.session.pop(SESSION_KEY, None)
    request.session["organisation_id"] = organisation.pk
    what = f"{organisation.name} takes part in {found.project}" if found.project else f"You belong to {organisation}"
    messages.success(request, f"{what}. The list below shows the next steps.")
    return redirect("projects:home")


@never_cache
@require_POST
def invitation_decline_view(request: HttpRequest, key: str) -> HttpResponse:
    """Decline, with a reason if the person gives one; no account is needed."""
    found = _find(request, key)
    if found is None:
        return _unknown(request)
    if key != found.pk:
        return _swap(request, found)
    form = DeclineForm(request.POST)
    if not form.is_valid():
        return _page(request, key, found, status=422)
    actor = request.user if request.user.is_authenticated else None
    try:
        declined = invitation_decline(actor=actor, invitation=found, reason=form.cleaned_data["reason"])
    except AppError as error:
        return _page(request, key, found, error=error, status=http_status(error.code))
    request.session.pop(SESSION_KEY, None)
    return _page(request, key, declined)


def _find(request: HttpRequest, key: str) -> Invitation | None:
    """The invitation of the link; wrong links are counted, so that they cannot be tried out."""
    found = invitation_by_key(key=key, user=request.user, opened_id=request.session.get(SESSION_KEY, ""))
    if found is None:
        address = client_address(request)
        throttle_check("invitation", address, GUESSES_PER_MINUTE)
        throttle_count("invitation", address)
    return found


def _swap(request: HttpRequest, found: Invitation) -> HttpResponse:
    """Note that the link was opened, and lead to the invitation by its id."""
    invitation_opened(found)
    request.session[SESSION_KEY] = found.pk
    return redirect("orgs:invitation", found.pk)


def _unknown(request: HttpRequest) -> HttpResponse:
    return render(request, "orgs/invitation_unknown.html", {"error": AppError("CL-1602")}, status=404)


@service
def _accept(request: HttpRequest, found: Invitation, form: JoinForm | None) -> Organisation:
    """Carry out the acceptance; returns the organisation for which the person acts from now on."""
    assert request.user.is_authenticated
    if form is None:
        return invitation_accept_person(actor=request.user, invitation=found).organisation
    if form.joins_new:
        name = form.cleaned_data["name"]
        organisation = organisation_create(actor=request.user, name=name, kind=found.party_kind)
    else:
        organisation = organisation_get_for(user=request.user, organisation_id=form.cleaned_data["organisation"])
    invitation_accept_partner(actor=request.user, invitation=found, organisation=organisation)
    return organisation


def _join_form(request: HttpRequest, found: Invitation, data: QueryDict | None = None) -> JoinForm:
    """The choice among the organisations that the person may commit and that are not in the project yet."""
    allowed = memberships_of(request.user).filter(role__in=MATRIX[Action.INVITE_PARTNERS])
    inside = {one.organisation_id for one in participations_of(found.project)} if found.project else set()
    return JoinForm(data, organisations=[one.organisation for one in allowed if one.organisation_id not in inside])


def _page(
    request: HttpRequest,
    key: str,
    found: Invitation,
    *,
    form: JoinForm | None = None,
    error: AppError | None = None,
    status: int = 200,
) -> HttpResponse:
    signed_in, addressed = request.user.is_authenticated, is_addressed_to(found, request.user)
    context: dict[str, Any] = {
        "invitation": found,
        "key": key,
        "error": error,
        "decline_form": DeclineForm(),
        "addressed": addressed,
        "is_member": signed_in and _is_member(request, found),
    }
    if found.project is not None:
        context |= {
            "matrix": matrix_for(found.party_kind),
            "participations": participations_of(found.project),
            "base_models": base_models_of(found.project),
            "form": form or (_join_form(request, found) if addressed and found.is_open else None),
        }
    else:
        context["allowed"] = [action.value for action, roles in MATRIX.items() if Role(found.role) in roles]
    return render(request, "orgs/invitation.html", context, status=status)


def _is_member(request: HttpRequest, found: Invitation) -> bool:
    return Membership.objects.filter(user_id=request.user.pk, organisation=found.organisation, is_active=True).exists()
