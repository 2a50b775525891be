"""Writes of invitations: of a colleague to the organisation, of a partner organisation to a project."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.core.ids import new_token, token_hash
from webapp.core.transactions import service
from webapp.orgs.mail import invitation_mail
from webapp.orgs.models import Invitation, InvitationState, Membership, Organisation, PartyKind, Role
from webapp.orgs.permissions import Action, require, still_may
from webapp.orgs.selectors import is_addressed_to
from webapp.projects.models import Participation

if TYPE_CHECKING:
    from webapp.accounts.models import User
    from webapp.projects.models import Project

PREFIX = "cli"
MAX_PER_HOUR = 60


@service
def invite_person(
    *, actor: User, organisation: Organisation, email: str, role: str, message: str = ""
) -> tuple[Invitation, str]:
    """Invite a colleague; returns the invitation and its token, which is shown once and never stored."""
    require(actor, Action.INVITE_PEOPLE, organisation)
    email = email.strip().lower()
    if _is_member(email, organisation):
        raise AppError("CL-1612", f"{email} is already a member of {organisation.name}.", "Change the role instead.")
    wanted: dict[str, Any] = {"organisation": organisation, "project": None, "email": email}
    return _send(actor, wanted, role=Role(role).value, party_kind="", message=message)


@service
def invite_partner(
    *, actor: User, project: Project, email: str, party_kind: str, message: str = ""
) -> tuple[Invitation, str]:
    """Invite a partner organisation to a project of the actor's organisation; returns invitation and token."""
    require(actor, Action.INVITE_PARTNERS, project.owner)
    if project.is_archived:
        raise AppError("CL-1609", "The project is archived.", "Invite partners to an active project.")
    email = email.strip().lower()
    if _is_member(email, project.owner):
        raise AppError(
            "CL-1612",
            f"{email} is a member of {project.owner.name}, which already takes part in {project.name}.",
            "Invite someone from the organisation that should join.",
        )
    wanted: dict[str, Any] = {"organisation": project.owner, "project": project, "email": email}
    return _send(actor, wanted, role="", party_kind=PartyKind(party_kind).value, message=message)


@service
def invitation_resend(*, actor: User, invitation: Invitation) -> tuple[Invitation, str]:
    """A new invitation with a new token in place of this one, which stops working."""
    require(actor, _action(invitation), invitation.organisation)
    _organisation_lock(invitation.organisation)
    invitation = Invitation.objects.select_for_update(no_key=True).get(pk=invitation.pk)
    if invitation.state in (InvitationState.ACCEPTED, InvitationState.SUPERSEDED):
        raise AppError("CL-1609", f"The invitation is {invitation.get_state_display().lower()}.")
    wanted: dict[str, Any] = {
        "organisation": invitation.organisation,
        "project": invitation.project,
        "email": invitation.email,
    }
    return _send(
        actor,
        wanted,
        role=invitation.role,
        party_kind=invitation.party_kind,
        message=invitation.message,
        again=True,
    )


@service
def invitation_revoke(*, actor: User, invitation: Invitation) -> Invitation:
    """Withdraw a pending invitation: its link stops working at once."""
    require(actor, _action(invitation), invitation.organisation)
    invitation = Invitation.objects.select_for_update(no_key=True).get(pk=invitation.pk)
    if invitation.state != InvitationState.PENDING:
        raise AppError("CL-1609", f"The invitation is {invitation.get_state_display().lower()}.")
    return _decide(invitation, actor, InvitationState.REVOKED, "invitation.revoked")


@service
def invitations_withdraw(*, actor: User, sender: User, organisation: Organisation) -> None:
    """Withdraw the open invitations of a person who may send such ones no longer."""
    known = Invitation.objects.select_for_update(no_key=True).filter(organisation=organisation, created_by=sender)
    for invitation in known.filter(state=InvitationState.PENDING).order_by("pk"):
        if not still_may(sender, _action(invitation), organisation):
            _decide(invitation, actor, InvitationState.REVOKED, "invitation.revoked")


@service
def invitations_end(*, actor: User, project: Project, organisation: Organisation) -> None:
    """Withdraw the project's open invitations to members of an organisation whose part in it has ended."""
    known = Invitation.objects.select_for_update(no_key=True).filter(project=project)
    for invitation in known.filter(state=InvitationState.PENDING).order_by("pk"):
        if _is_member(invitation.email, organisation):
            _decide(invitation, actor, InvitationState.REVOKED, "invitation.revoked", {"left": organisation.name})


def invitation_opened(invitation: Invitation) -> None:
    """Note the first time that the link was opened."""
    if invitation.opened_at is None:
        Invitation.objects.filter(pk=invitation.pk, opened_at=None).update(opened_at=timezone.now())


@service
def invitation_accept_person(*, actor: User, invitation: Invitation) -> Membership:
    """Become a member with the invited role; only the invited, verified address may."""
    invitation = _open_locked(invitation)
    _addressed_check(invitation, actor)
    _sender_check(invitation)
    membership, made = Membership.objects.get_or_create(
        user=actor, organisation=invitation.organisation, defaults={"role": invitation.role}
    )
    if not made:
        # A deactivated member comes back with the invited role; an active one never changes role by a link.
        if membership.is_active:
            raise AppError("CL-1609", f"You're already a member of {invitation.organisation.name}.")
        # Nothing writes to a membership that has ended: it has stood as it is since then.
        if invitation.created_at <= membership.updated_at:
            raise AppError("CL-1602", "The invitation was sent before your membership ended.")
        membership.role, membership.is_active = invitation.role, True
        membership.save()
    _decide(invitation, actor, InvitationState.ACCEPTED, "invitation.accepted")
    return membership


@service
def invitation_accept_partner(*, actor: User, invitation: Invitation, organisation: Organisation) -> Participation:
    """Let an organisation of the actor's join the project as the invited kind of party.

    Only the invited, verified address may: whoever finds or is forwarded the link can read it and join nothing.
    """
    known = Participation.objects.select_for_update(no_key=True)  # before the invitation, in the order of locks
    list(known.filter(project=invitation.project_id, organisation=organisation))
    invitation = _open_locked(invitation)
    project = invitation.project
    if project is None:
        raise AppError("CL-1609", "This invitation is for a person, not an organisation.")
    if project.is_archived:
        raise AppError("CL-1609", f"The project {project.name} is archived.", "Ask its owner whether it will continue.")
    _addressed_check(invitation, actor)
    _sender_check(invitation)
    require(actor, Action.INVITE_PARTNERS, organisation)
    participation, made = Participation.objects.get_or_create(
        project=project, organisation=organisation, defaults={"kind": invitation.party_kind, "accepted_by": actor}
    )
    if not made:
        if participation.is_active:
            raise AppError("CL-1609", f"{organisation.name} already takes part in {project.name}.")
        # Nothing writes to a participation that has ended: it has stood as it is since then.
        if invitation.created_at <= participation.updated_at:
            raise AppError("CL-1602", f"The invitation was sent before {organisation.name} left {project.name}.")
        participation.kind, participation.is_active = invitation.party_kind, True
        participation.accepted_by = actor
        participation.save()
    invitation.accepted_organisation = organisation
    _decide(invitation, actor, InvitationState.ACCEPTED, "invitation.accepted", {"joined": organisation.name})
    audit_record(
        actor=actor,
        action="project.joined",
        organisation_id=organisation.pk,
        project_id=project.pk,
        object_id=participation.pk,
        details={"organisation": organisation.name, "kind": participation.kind},
    )
    return participation


@service
def invitation_decline(*, actor: User | None, invitation: Invitation, reason: str = "") -> Invitation:
    """Say no, with or without an account; whoever holds the link may."""
    invitation = _open_locked(invitation)
    invitation.decline_reason = reason.strip()[:2000]
    return _decide(invitation, actor, InvitationState.DECLINED, "invitation.declined")


def _is_member(email: str, organisation: Organisation) -> bool:
    """Whether the address is a verified one of an active member, or the one that a member signs in with."""
    verified = Q(user__emailaddress__email__iexact=email, user__emailaddress__verified=True)
    members = Membership.objects.filter(organisation=organisation, is_active=True)
    return members.filter(Q(user__email__iexact=email) | verified).exists()


def _addressed_check(invitation: Invitation, actor: User) -> None:
    if not is_addressed_to(invitation, actor):
        raise AppError("CL-1608", f"This invitation is for {invitation.email}, but you're signed in as {actor.email}.")


def _action(invitation: Invitation) -> Action:
    return Action.INVITE_PARTNERS if invitation.project_id else Action.INVITE_PEOPLE


def _send(
    actor: User,
    wanted: dict[str, Any],
    *,
    role: str,
    party_kind: str,
    message: str,
    again: bool = False,
) -> tuple[Invitation, str]:
    """Store a new invitation, supersede the open ones to the same target, mail on commit."""
    _organisation_lock(wanted["organisation"])
    now = timezone.now()
    sent = Invitation.objects.filter(organisation=wanted["organisation"])
    _limit_check(
        sent, MAX_PER_HOUR, timedelta(hours=1), f"Your organisation sent {MAX_PER_HOUR} invitations in an hour."
    )
    most = settings.INVITATIONS_PER_DAY  # whoever makes organisations at will sends no more mail for it
    sent = Invitation.objects.filter(created_by=actor)
    _limit_check(sent, most, timedelta(days=1), f"You sent {most} invitations within a day, in all your organisations.")
    earlier_ones = Invitation.objects.select_for_update(no_key=True).filter(**wanted, state=InvitationState.PENDING)
    for earlier in earlier_ones.order_by("pk"):
        earlier.state, earlier.decided_at = InvitationState.SUPERSEDED, now
        earlier.save()
    token = new_token(PREFIX)
    invitation = Invitation.objects.create(
        **wanted,
        role=role,
        party_kind=party_kind,
        message=message.strip()[:2000],
        token_hash=token_hash(token),
        expires_at=now + timedelta(days=settings.INVITATION_DAYS),
        created_by=actor,
    )
    action = "invitation.resent" if again else "invitation.sent"
    _recorded(invitation, actor, action, {"role": role, "party_kind": party_kind})
    transaction.on_commit(lambda: invitation_mail(invitation, token))
    return invitation, token


def _limit_check(sent: QuerySet[Invitation], most: int, window: timedelta, why: str) -> None:
    """Raise CL-1603, with the time until the next one may be sent, where `most` were sent within the window."""
    now = timezone.now()
    recent = sent.filter(created_at__gt=now - window).order_by("-created_at")
    oldest = recent.values_list("created_at", flat=True)[most - 1 : most].first() if most > 0 else now
    if oldest is None:
        return
    seconds = max(1, int((oldest + window - now).total_seconds()))
    wait = f"{seconds // 60 + 1} minutes" if seconds < 3600 else f"{seconds // 3600 + 1} hours"
    raise AppError("CL-1603", why, f"Wait {wait}, then continue.", details={"retry_after": seconds})


def _organisation_lock(organisation: Organisation) -> None:
    """One sender of an organisation's invitations at a time; taken before the invitations themselves."""
    Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)


def _open_locked(invitation: Invitation) -> Invitation:
    """The invitation under a lock, provided that it can still be answered."""
    invitation = Invitation.objects.select_for_update(no_key=True).get(pk=invitation.pk)
    if not invitation.is_open:
        raise AppError("CL-1602", f"The invitation is {invitation.shown_state}.")
    return invitation


def _sender_check(invitation: Invitation) -> None:
    if not still_may(invitation.created_by, _action(invitation), invitation.organisation):
        raise AppError("CL-1602", "The sender of the invitation is no longer allowed to invite people.")


def _decide(
    invitation: Invitation,
    actor: User | None,
    state: InvitationState,
    action: str,
    details: dict[str, str] | None = None,
) -> Invitation:
    invitation.state = state
    invitation.decided_at, invitation.decided_by = timezone.now(), actor
    invitation.save()
    _recorded(invitation, actor, action, details or {})
    return invitation


def _recorded(invitation: Invitation, actor: User | None, action: str, details: dict[str, str]) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=invitation.organisation_id,
        project_id=invitation.project_id or "",
        object_id=invitation.pk,
        details={"email": invitation.email, **{key: value for key, value in details.items() if value}},
    )
