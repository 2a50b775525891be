"""Who may do what: the fixed matrix of roles, and the two functions that ask it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from splitcore.errors import AppError
from webapp.orgs.models import Membership, Organisation, PartyKind, Role
from webapp.orgs.selectors import lacks_second_factor, membership_of, memberships_of

if TYPE_CHECKING:
    from webapp.accounts.models import User


class Action(StrEnum):
    """What a role can be allowed to do within its own organisation; the value is the phrase that people read."""

    MANAGE_ORGANISATION = "change the organisation, its people and their roles"
    INVITE_PEOPLE = "invite colleagues"
    INVITE_PARTNERS = "invite partner organisations and answer their invitations"
    CREATE_PROJECT = "create and change projects"
    ENROL_WORKER = "enrol workers"
    CONFIRM_WORKER = "confirm workers"
    REVOKE_WORKER = "quarantine and revoke workers"
    ADD_DATASET = "add datasets"
    OFFER_DATASET = "offer datasets to projects and withdraw them"
    CONFIGURE_RUN = "configure runs"
    SUBMIT_RUN = "submit runs for approval"
    APPROVE_RUN = "approve or decline runs"
    CONTROL_RUN = "start, pause and stop the organisation's runs"
    STOP_RUN = "stop a run in which the organisation takes part"
    DOWNLOAD_ADAPTER = "download adapters"
    VIEW_AUDIT = "read and verify the audit log"
    MANAGE_TOKENS = "create API tokens"


_A, _S, _E, _O, _D = Role.ADMIN, Role.STEWARD, Role.ENGINEER, Role.OPERATOR, Role.AUDITOR

MATRIX: dict[Action, frozenset[Role]] = {
    Action.MANAGE_ORGANISATION: frozenset({_A}),
    Action.INVITE_PEOPLE: frozenset({_A}),
    Action.INVITE_PARTNERS: frozenset({_A}),
    Action.CREATE_PROJECT: frozenset({_A, _E}),
    Action.ENROL_WORKER: frozenset({_A, _O}),
    Action.CONFIRM_WORKER: frozenset({_A, _O}),
    Action.REVOKE_WORKER: frozenset({_A, _O}),
    Action.ADD_DATASET: frozenset({_A, _S}),
    Action.OFFER_DATASET: frozenset({_A, _S}),
    Action.CONFIGURE_RUN: frozenset({_A, _E}),
    Action.SUBMIT_RUN: frozenset({_A, _E}),
    Action.APPROVE_RUN: frozenset({_A, _S, _O}),
    Action.CONTROL_RUN: frozenset({_A, _E}),
    Action.STOP_RUN: frozenset({_A, _S, _E, _O}),
    Action.DOWNLOAD_ADAPTER: frozenset({_A, _S, _E}),
    Action.VIEW_AUDIT: frozenset({_A, _D}),
    Action.MANAGE_TOKENS: frozenset({_A, _S, _E, _O, _D}),
}

# The word on a contract belongs to whoever answers for what the organisation brings.
_APPROVERS: dict[str, frozenset[Role]] = {
    PartyKind.DATA: frozenset({_A, _S}),
    PartyKind.COMPUTE: frozenset({_A, _O}),
    PartyKind.BOTH: frozenset({_A, _S, _O}),
}


def roles_for(action: Action, organisation: Organisation) -> frozenset[Role]:
    """The roles that may do `action` in this organisation."""
    if action is Action.APPROVE_RUN:
        return _APPROVERS[organisation.kind]
    return MATRIX[action]


def can(user: User, action: Action, organisation: Organisation) -> bool:
    """Whether the person's role in the organisation allows the action."""
    membership = membership_of(user, organisation)
    return membership is not None and Role(membership.role) in roles_for(action, organisation)


def organisations_where(user: User, *actions: Action) -> dict[Action, list[Organisation]]:
    """For each action, the organisations in which the person's role allows it; one query for all."""
    memberships = list(memberships_of(user))
    return {
        action: [one.organisation for one in memberships if Role(one.role) in roles_for(action, one.organisation)]
        for action in actions
    }


def still_may(user: User, action: Action, organisation: Organisation) -> bool:
    """Whether what the person has prepared may be used by others now: an active member whose role allows it."""
    roles = [role.value for role in roles_for(action, organisation)]
    held = organisation.memberships.filter(user_id=user.pk, user__is_active=True, is_active=True, role__in=roles)
    return held.exists()


def require(user: User, action: Action, organisation: Organisation) -> Membership:
    """The membership that allows the action, else CL-1601 naming the missing role and who can grant it, or CL-1607."""
    membership = membership_of(user, organisation)
    if membership is not None and Role(membership.role) in roles_for(action, organisation):
        return membership
    if membership is None and lacks_second_factor(user, organisation):
        raise second_factor_missing(organisation)
    raise AppError("CL-1601", *denial(membership, action, organisation))


def second_factor_missing(organisation: Organisation) -> AppError:
    """The refusal of a member who signs in with a password alone where the organisation demands more."""
    return AppError("CL-1607", f"{organisation.name} requires a second factor, and you signed in without one.")


def why_not(user: User, action: Action, organisation: Organisation) -> str:
    """For a disabled control: empty when allowed, else the sentence that says what is missing and who can grant it."""
    if can(user, action, organisation):
        return ""
    return " ".join(denial(membership_of(user, organisation), action, organisation))


def denial(membership: Membership | None, action: Action, organisation: Organisation) -> tuple[str, str]:
    """Message and remedy of a refusal."""
    wanted = " or ".join(sorted((role.label for role in roles_for(action, organisation)), key=str.lower))
    if membership is None:
        return (f"You are not a member of {organisation.name}.", "Ask one of its administrators for an invitation.")
    held = Role(membership.role).label
    message = f"To {action.value}, you need the role {wanted} in {organisation.name}. Yours is {held}."
    return message, f"{_grantors(organisation)} can change your role."


def _grantors(organisation: Organisation) -> str:
    """The names of the people who can change roles."""
    admins = organisation.memberships.filter(role=Role.ADMIN, is_active=True, user__is_active=True)
    names = [str(membership.user) for membership in admins.select_related("user").order_by("created_at")[:3]]
    return " or ".join(names) or "An administrator of the hub"
