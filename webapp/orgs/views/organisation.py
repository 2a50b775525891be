"""Creating and choosing an organisation, its profile, its people and their roles."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from splitcore.errors import AppError
from webapp.core.errors import http_status
from webapp.orgs.forms import OrganisationForm, ProfileForm, RoleForm
from webapp.orgs.http import MemberRequest, answer_action, member_required, signed_in_required
from webapp.orgs.models import Role
from webapp.orgs.navigation import organisation_tabs
from webapp.orgs.permissions import MATRIX, Action, roles_for, why_not
from webapp.orgs.selectors import (
    invitations_addressed_to,
    members_of,
    membership_get_for,
    membership_of,
)
from webapp.orgs.services import (
    membership_deactivate,
    membership_reactivate,
    membership_role_change,
    organisation_create,
    organisation_update,
)


@signed_in_required
@require_http_methods(["GET", "HEAD", "POST"])
def organisation_new(request: MemberRequest) -> HttpResponse:
    """Create an organisation, or answer an invitation that waits."""
    form = OrganisationForm(request.POST or None)
    error: AppError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            organisation = organisation_create(actor=request.user, **form.cleaned_data)
        except AppError as refused:
            error = refused
        else:
            request.session["organisation_id"] = organisation.pk
            messages.success(request, f"{organisation.name} is ready. The list below shows the next steps.")
            return redirect("projects:home")
    context = {
        "form": form,
        "error": error,
        "invitations": invitations_addressed_to(request.user),
        "first": request.organisation is None,
    }
    return render(request, "orgs/new.html", context, status=http_status(error.code) if error else 200)


@signed_in_required
@require_POST
def organisation_switch(request: MemberRequest) -> HttpResponse:
    """Act for another of the own organisations from now on."""
    membership = membership_of(request.user, request.POST.get("organisation", ""))
    if membership is None:
        raise Http404
    request.session["organisation_id"] = membership.organisation_id
    messages.success(request, f"You're now acting for {membership.organisation.name}.")
    return redirect(_safe_next(request))


def _safe_next(request: HttpRequest) -> str:
    """Where to go afterwards: a page of this hub only, never one of the organisation that was left."""
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
        return target
    return "/home"


@member_required
@require_http_methods(["GET", "HEAD", "POST"])
def profile(request: MemberRequest) -> HttpResponse:
    """The organisation's profile and contacts; everyone reads, administrators change."""
    organisation = request.organisation
    form = ProfileForm(request.POST) if request.method == "POST" else ProfileForm.of(organisation)
    error: AppError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            organisation_update(actor=request.user, organisation=organisation, **form.cleaned_data)
        except AppError as refused:
            if refused.code == "CL-1601":
                raise
            error = refused
        else:
            messages.success(request, "The profile was saved.")
            return redirect("orgs:profile")
    context = {
        "form": form,
        "error": error,
        "why_not": why_not(request.user, Action.MANAGE_ORGANISATION, organisation),
        "tabs": organisation_tabs("/org"),
        "counts": {
            "people": members_of(organisation).filter(is_active=True).count(),
            "projects": organisation.participations.filter(is_active=True).count(),
        },
    }
    return render(request, "orgs/profile.html", context, status=http_status(error.code) if error else 200)


@member_required
@require_http_methods(["GET", "HEAD"])
def people(request: MemberRequest) -> HttpResponse:
    """Members with their roles, and the matrix of what each role may do."""
    organisation = request.organisation
    context = {
        "members": members_of(organisation),
        "roles": Role.choices,
        "matrix": [
            {"action": action.value, "allowed": [role in roles_for(action, organisation) for role in Role]}
            for action in MATRIX
        ],
        "why_not": why_not(request.user, Action.MANAGE_ORGANISATION, organisation),
        "invite_why_not": why_not(request.user, Action.INVITE_PEOPLE, organisation),
        "tabs": organisation_tabs("/org/people"),
    }
    return render(request, "orgs/people.html", context)


@member_required
@require_POST
def person_role(request: MemberRequest, membership_id: str) -> HttpResponse:
    """Change a member's role."""
    membership = membership_get_for(user=request.user, membership_id=membership_id)
    form = RoleForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose one of the listed roles.")
        return redirect("orgs:people")
    role = form.cleaned_data["role"]
    return answer_action(
        request,
        lambda: membership_role_change(actor=request.user, membership=membership, role=role),
        done=f"{membership.user} is now {Role(role).label}.",
        to="orgs:people",
    )


@member_required
@require_POST
def person_deactivate(request: MemberRequest, membership_id: str) -> HttpResponse:
    """Take a member's access away (or leave)."""
    membership = membership_get_for(user=request.user, membership_id=membership_id)
    return answer_action(
        request,
        lambda: membership_deactivate(actor=request.user, membership=membership),
        done=f"{membership.user} no longer has access to {membership.organisation.name}.",
        to="orgs:people" if membership.user_id != request.user.pk else "projects:home",
    )


@member_required
@require_POST
def person_reactivate(request: MemberRequest, membership_id: str) -> HttpResponse:
    """Give a former member access again."""
    membership = membership_get_for(user=request.user, membership_id=membership_id)
    return answer_action(
        request,
        lambda: membership_reactivate(actor=request.user, membership=membership),
        done=f"{membership.user} has access again, as {Role(membership.role).label}.",
        to="orgs:people",
    )
