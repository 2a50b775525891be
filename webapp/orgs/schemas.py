"""What the REST operations of organisations take and give."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from ninja import Field, Schema
from pydantic import AfterValidator

from webapp.orgs.models import Invitation, Membership, Organisation, PartyKind, Role


def _email(value: str) -> str:
    """The address, if it has the form of one."""
    try:
        validate_email(value)
    except ValidationError as error:
        raise ValueError("not an e-mail address") from error
    return value


Email = Annotated[str, AfterValidator(_email)]


class OrganisationOut(Schema):
    """An organisation of the person's own."""

    id: str
    name: str
    slug: str
    kind: str
    contact_email: str
    dpo_email: str
    require_second_factor: bool

    @classmethod
    def of(cls, organisation: Organisation) -> OrganisationOut:
        """The schema of an organisation."""
        return cls(**{name: getattr(organisation, name) for name in cls.model_fields})


class MemberOut(Schema):
    """A member and the role."""

    id: str
    name: str
    email: str
    role: str
    is_active: bool

    @classmethod
    def of(cls, membership: Membership) -> MemberOut:
        """The schema of a membership."""
        return cls(
            id=membership.pk,
            name=membership.user.name,
            email=membership.user.email,
            role=membership.role,
            is_active=membership.is_active,
        )


class RoleIn(Schema):
    """A member's new role."""

    role: Role


class PersonInvitationIn(Schema):
    """An invitation of a colleague."""

    email: Email
    role: Role
    message: str = Field("", max_length=2000)


class PartnerInvitationIn(Schema):
    """An invitation of a partner organisation to a project."""

    email: Email
    party_kind: PartyKind
    message: str = Field("", max_length=2000)


class InvitationOut(Schema):
    """An invitation; `link` is there once, in the answer to the request that made it."""

    id: str
    email: str
    project: str | None
    role: str
    party_kind: str
    state: str
    created_at: datetime
    expires_at: datetime
    opened_at: datetime | None
    decided_at: datetime | None
    decline_reason: str
    link: str = ""

    @classmethod
    def of(cls, invitation: Invitation, link: str = "") -> InvitationOut:
        """The schema of an invitation."""
        return cls(
            id=invitation.pk,
            email=invitation.email,
            project=invitation.project_id,
            role=invitation.role,
            party_kind=invitation.party_kind,
            state=invitation.shown_state,
            created_at=invitation.created_at,
            expires_at=invitation.expires_at,
            opened_at=invitation.opened_at,
            decided_at=invitation.decided_at,
            decline_reason=invitation.decline_reason,
            link=link,
        )


class ReceivedInvitationOut(Schema):
    """An open invitation to one of the caller's own addresses."""

    id: str
    email: str
    organisation: str
    project: str | None
    project_name: str
    goal: str
    role: str
    party_kind: str
    message: str
    expires_at: datetime

    @classmethod
    def of(cls, invitation: Invitation) -> ReceivedInvitationOut:
        """The schema of an invitation, as the invited person may see it."""
        project = invitation.project
        return cls(
            id=invitation.pk,
            email=invitation.email,
            organisation=invitation.organisation.name,
            project=invitation.project_id,
            project_name=project.name if project else "",
            goal=project.goal if project else "",
            role=invitation.role,
            party_kind=invitation.party_kind,
            message=invitation.message,
            expires_at=invitation.expires_at,
        )


class AnswerIn(Schema):
    """An answer to an invitation, named by the token of its link or, for whom it addresses, by its id."""

    invitation: str = Field(max_length=100)
    accept: bool
    reason: str = Field("", max_length=2000)


class AnswerOut(Schema):
    """What has become of the invitation."""

    id: str
    state: str
