"""The invitations that an organisation has sent."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from splitcore.errors import AppError
from webapp.core.errors import http_status
from webapp.orgs.forms import PersonInvitationForm
from webapp.orgs.http import MemberRequest, answer_action, member_required
from webapp.orgs.invitations import invitation_resend, invitation_revoke, invite_person
from webapp.orgs.mail import invitation_link
from webapp.orgs.models import Invitation, InvitationState, Role
from webapp.orgs.navigation import organisation_tabs
from webapp.orgs.permissions import MATRIX, Action, require, why_not
from webapp.orgs.selectors import invitation_get_for, invitations_visible_to

SHOWN_STATES = ("pending", "expired", "accepted", "declined", "revoked", "superseded")


@member_required
@require_safe
def invitation_list(request: MemberRequest) -> HttpResponse:
    """Pending, expired, accepted, declined and revoked invitations of the current organisation."""
    sent = invitations_visible_to(request.user).filter(organisation=request.organisation)
    state = request.GET.get("state", "")
    found = _in_state(sent, state) if state in SHOWN_STATES else sent.exclude(state=InvitationState.SUPERSEDED)
    context = {
        "page_obj": Paginator(found, 30).get_page(request.GET.get("page")),
        "state": state,
        "states": SHOWN_STATES,
        "any": sent.exists(),
        "why_not": why_not(request.user, Action.INVITE_PEOPLE, request.organisation),
        "tabs": organisation_tabs("/org/invitations"),
    }
    return render(request, "orgs/invitations.html", context)


def _in_state(invitations: QuerySet[Invitation], state: str) -> QuerySet[Invitation]:
    """Those in a shown state: "expired" is a pending one that has run out."""
    now = timezone.now()
    if state == "expired":
        return invitations.filter(state=InvitationState.PENDING, expires_at__lte=now)
    found = invitations.filter(state=state)
    return found.filter(expires_at__gt=now) if state == InvitationState.PENDING else found


@member_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation_new(request: MemberRequest) -> HttpResponse:
    """Invite a colleague."""
    require(request.user, Action.INVITE_PEOPLE, request.organisation)
    form = PersonInvitationForm(request.POST or None)
    error: AppError | None = None
    if request.method == "POST" and form.is_valid():
        try:
            invitation, token = invite_person(
                actor=request.user, organisation=request.organisation, **form.cleaned_data
            )
        except AppError as refused:
            error = refused
        else:
            return show_link(request, invitation, token)
    context = {"form": form, "error": error, "role_help": role_help(), "tabs": organisation_tabs("/org/invitations")}
    return render(request, "orgs/invite_person.html", context, status=http_status(error.code) if error else 200)


@member_required
@never_cache
@require_POST
def invitation_resend_view(request: MemberRequest, invitation_id: str) -> HttpResponse:
    """A new link in place of the old."""
    invitation = invitation_get_for(user=request.user, invitation_id=invitation_id)
    try:
        renewed, token = invitation_resend(actor=request.user, invitation=invitation)
    except AppError as error:
        if error.code == "CL-1601":
            raise
        messages.error(request, f"{error.message} {error.remedy} ({error.code})")
        return redirect("orgs:invitations")
    return show_link(request, renewed, token)


@member_required
@require_POST
def invitation_revoke_view(request: MemberRequest, invitation_id: str) -> HttpResponse:
    """Withdraw an invitation."""
    invitation = invitation_get_for(user=request.user, invitation_id=invitation_id)
    return answer_action(
        request,
        lambda: invitation_revoke(actor=request.user, invitation=invitation),
        done=f"The invitation of {invitation.email} was revoked. Its link no longer works.",
        to="orgs:invitations",
    )


def show_link(request: MemberRequest, invitation: Invitation, token: str) -> HttpResponse:
    """The page that shows a new invitation's link: this once, because only its hash is stored."""
    invitation.refresh_from_db()
    context = {
        "invitation": invitation,
        "link": invitation_link(token),
        "tabs": organisation_tabs("/org/invitations"),
    }
    return render(request, "orgs/invitation_sent.html", context)


def role_help() -> list[dict[str, object]]:
    """What each role may do, for the form that chooses one."""
    return [
        {"label": role.label, "actions": [action.value for action, roles in MATRIX.items() if role in roles]}
        for role in Role
    ]
