"""REST operations of `orgs`: organisations, people, invitations."""

from __future__ import annotations

from django.http import Http404, HttpRequest
from ninja import Router

from webapp.accounts.api_auth import READ_AUTH, Principal, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.core.idempotency import idempotent
from webapp.core.throttle import client_address, throttle_check, throttle_count
from webapp.orgs.invitations import (
    invitation_accept_partner,
    invitation_accept_person,
    invitation_decline,
    invitation_resend,
    invitation_revoke,
    invite_person,
)
from webapp.orgs.mail import invitation_link
from webapp.orgs.schemas import (
    AnswerIn,
    AnswerOut,
    InvitationOut,
    MemberOut,
    OrganisationOut,
    PersonInvitationIn,
    ReceivedInvitationOut,
    RoleIn,
)
from webapp.orgs.selectors import (
    invitation_by_key,
    invitation_get_for,
    invitations_addressed_to,
    invitations_visible_to,
    members_of,
    membership_get_for,
    organisation_get_for,
    organisations_of,
)
from webapp.orgs.services import membership_deactivate, membership_reactivate, membership_role_change

router = Router(tags=["organisations"])
ADMIN = TokenAuth(Scope.ADMIN)
GUESSES_PER_MINUTE = 10


def _caller(request: HttpRequest) -> Principal:
    return request.auth  # type: ignore[attr-defined]


@router.get("", auth=READ_AUTH, response=list[OrganisationOut])
def list_organisations(request: HttpRequest) -> list[OrganisationOut]:
    """The organisations for which the caller acts: with a token, the token's."""
    return [OrganisationOut.of(organisation) for organisation in organisations_of(_caller(request).user)]


@router.get("/invitations", auth=READ_AUTH, response=list[InvitationOut])
def list_invitations(request: HttpRequest) -> list[InvitationOut]:
    """The invitations that the organisation has sent."""
    caller = _caller(request)
    sent = invitations_visible_to(caller.user).filter(organisation=caller.organisation)
    return [InvitationOut.of(invitation) for invitation in sent]


@router.post("/invitations", auth=ADMIN, response={201: InvitationOut})
@idempotent
def invite(request: HttpRequest, payload: PersonInvitationIn) -> tuple[int, InvitationOut]:
    """Invite a colleague; a partner organisation is invited below its project."""
    caller = _caller(request)
    invitation, token = invite_person(
        actor=caller.user,
        organisation=caller.organisation,
        email=payload.email,
        role=payload.role,
        message=payload.message,
    )
    return 201, InvitationOut.of(invitation, invitation_link(token))


@router.get("/invitations/received", auth=READ_AUTH, response=list[ReceivedInvitationOut])
def list_received(request: HttpRequest) -> list[ReceivedInvitationOut]:
    """The open invitations to the caller's own verified addresses."""
    return [ReceivedInvitationOut.of(one) for one in invitations_addressed_to(_caller(request).user)]


@router.post("/invitations/answer", auth=ADMIN, response=AnswerOut)
@idempotent
def answer_invitation(request: HttpRequest, payload: AnswerIn) -> AnswerOut:
    """Accept or decline; with a project's invitation it is the token's organisation that joins."""
    caller, address = _caller(request), client_address(request)
    invitation = invitation_by_key(key=payload.invitation, user=caller.user, opened_id="")
    if invitation is None:
        throttle_check("invitation", address, GUESSES_PER_MINUTE)
        throttle_count("invitation", address)
        raise Http404
    if not payload.accept:
        invitation_decline(actor=caller.user, invitation=invitation, reason=payload.reason)
    elif invitation.project_id:
        invitation_accept_partner(actor=caller.user, invitation=invitation, organisation=caller.organisation)
    else:
        invitation_accept_person(actor=caller.user, invitation=invitation)
    return AnswerOut(id=invitation.pk, state="accepted" if payload.accept else "declined")


@router.post("/invitations/{pub:invitation_id}/resend", auth=ADMIN, response={201: InvitationOut})
@idempotent
def resend(request: HttpRequest, invitation_id: str) -> tuple[int, InvitationOut]:
    """A new link in place of the old one."""
    user = _caller(request).user
    found = invitation_get_for(user=user, invitation_id=invitation_id)
    invitation, token = invitation_resend(actor=user, invitation=found)
    return 201, InvitationOut.of(invitation, invitation_link(token))


@router.post("/invitations/{pub:invitation_id}/revoke", auth=ADMIN, response=InvitationOut)
def revoke(request: HttpRequest, invitation_id: str) -> InvitationOut:
    """Withdraw a pending invitation."""
    user = _caller(request).user
    found = invitation_get_for(user=user, invitation_id=invitation_id)
    return InvitationOut.of(invitation_revoke(actor=user, invitation=found))


@router.patch("/people/{pub:membership_id}/role", auth=ADMIN, response=MemberOut)
def change_role(request: HttpRequest, membership_id: str, payload: RoleIn) -> MemberOut:
    """Give a member another role."""
    user = _caller(request).user
    membership = membership_get_for(user=user, membership_id=membership_id)
    return MemberOut.of(membership_role_change(actor=user, membership=membership, role=payload.role))


@router.post("/people/{pub:membership_id}/deactivate", auth=ADMIN, response=MemberOut)
def deactivate(request: HttpRequest, membership_id: str) -> MemberOut:
    """Take a member's access away."""
    user = _caller(request).user
    membership = membership_get_for(user=user, membership_id=membership_id)
    return MemberOut.of(membership_deactivate(actor=user, membership=membership))


@router.post("/people/{pub:membership_id}/reactivate", auth=ADMIN, response=MemberOut)
def reactivate(request: HttpRequest, membership_id: str) -> MemberOut:
    """Give a former member access again."""
    user = _caller(request).user
    membership = membership_get_for(user=user, membership_id=membership_id)
    return MemberOut.of(membership_reactivate(actor=user, membership=membership))


@router.get("/{pub:organisation_id}", auth=READ_AUTH, response=OrganisationOut)
def get_organisation(request: HttpRequest, organisation_id: str) -> OrganisationOut:
    """One of the caller's own organisations."""
    return OrganisationOut.of(organisation_get_for(user=_caller(request).user, organisation_id=organisation_id))


@router.get("/{pub:organisation_id}/people", auth=READ_AUTH, response=list[MemberOut])
def list_people(request: HttpRequest, organisation_id: str) -> list[MemberOut]:
    """The members of one of the caller's own organisations."""
    organisation = organisation_get_for(user=_caller(request).user, organisation_id=organisation_id)
    return [MemberOut.of(membership) for membership in members_of(organisation)]
