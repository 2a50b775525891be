"""Writes of organisations and their members."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.mfa.utils import is_mfa_enabled
from django.db import IntegrityError, transaction
from django.utils.text import slugify

from splitcore.bounds import visible_line
from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.core.ids import new_id
from webapp.core.live import notify_org
from webapp.core.names import alike_among, name_check, names_in_turn
from webapp.core.transactions import service
from webapp.orgs.invitations import invitations_withdraw
from webapp.orgs.models import Membership, Organisation, PartyKind, Role
from webapp.orgs.permissions import Action, require

if TYPE_CHECKING:
    from webapp.accounts.models import User


@service
def organisation_create(*, actor: User, name: str, kind: str, contact_email: str = "") -> Organisation:
    """A new organisation with its maker as its administrator."""
    name = visible_line(name)
    _check_name(name, "If it's yours, ask one of its administrators for an invitation. Otherwise choose another name.")
    organisation = Organisation(
        name=name, slug=_free_slug(name), kind=PartyKind(kind), contact_email=contact_email or actor.email
    )
    try:
        with transaction.atomic():
            organisation.save()
    except IntegrityError as error:  # somebody was faster between the check and the write
        raise AppError("CL-1605", f"An organisation named {name} already exists.") from error
    Membership.objects.create(user=actor, organisation=organisation, role=Role.ADMIN)
    audit_record(
        actor=actor,
        action="organisation.created",
        organisation_id=organisation.pk,
        object_id=organisation.pk,
        details={"name": name, "kind": organisation.kind},
    )
    return organisation


@service
def organisation_update(
    *,
    actor: User,
    organisation: Organisation,
    name: str,
    kind: str,
    contact_email: str,
    dpo_email: str,
    require_second_factor: bool,
) -> Organisation:
    """Change the profile. The slug stays: contracts and charts call the organisation by it."""
    require(actor, Action.MANAGE_ORGANISATION, organisation)
    organisation = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    name = visible_line(name)
    if name != organisation.name:
        _check_name(name, "Choose another name.", own=organisation.pk)
    if require_second_factor and not organisation.require_second_factor and not is_mfa_enabled(actor):
        raise AppError(
            "CL-1607",
            "Before your organisation can require a second factor, your own account needs one.",
            "Set up an authenticator app under Two-factor sign-in, then save again.",
        )
    wanted = {
        "name": name,
        "kind": PartyKind(kind).value,
        "contact_email": contact_email,
        "dpo_email": dpo_email,
        "require_second_factor": require_second_factor,
    }
    changes = {field: value for field, value in wanted.items() if getattr(organisation, field) != value}
    for field, value in changes.items():
        setattr(organisation, field, value)
    organisation.save()
    if changes:
        audit_record(
            actor=actor,
            action="organisation.changed",
            organisation_id=organisation.pk,
            object_id=organisation.pk,
            details=changes,
        )
    return organisation


@service
def membership_role_change(*, actor: User, membership: Membership, role: str) -> Membership:
    """Give a member another role; the last administrator keeps theirs."""
    require(actor, Action.MANAGE_ORGANISATION, membership.organisation)
    membership = _locked(membership)
    new = Role(role)
    if new == membership.role:
        return membership
    if not membership.is_active:
        raise AppError("CL-1609", "The member is deactivated.", "Reactivate the member first.")
    _keep_an_admin(membership, stays_admin=new is Role.ADMIN)
    before, membership.role = membership.role, new
    membership.save()
    _recorded(actor, membership, "member.role_changed", {"from": before, "to": new.value})
    _prepared_withdraw(actor, membership)
    return membership


@service
def membership_deactivate(*, actor: User, membership: Membership) -> Membership:
    """Take the person's access away; what they did stays in the record. People may leave by themselves."""
    if actor.pk != membership.user_id:
        require(actor, Action.MANAGE_ORGANISATION, membership.organisation)
    membership = _locked(membership)
    if not membership.is_active:
        return membership
    _keep_an_admin(membership, stays_admin=False)
    membership.is_active = False
    membership.save()
    _recorded(actor, membership, "member.deactivated", {})
    _prepared_withdraw(actor, membership)
    _tokens_withdraw(actor, membership)
    return membership


@service
def membership_reactivate(*, actor: User, membership: Membership) -> Membership:
    """Give a deactivated member the former role again."""
    require(actor, Action.MANAGE_ORGANISATION, membership.organisation)
    membership = _locked(membership)
    if membership.is_active:
        return membership
    membership.is_active = True
    membership.save()
    _recorded(actor, membership, "member.reactivated", {"role": membership.role})
    return membership


def _check_name(name: str, remedy: str, *, own: str = "") -> None:
    """Refuse (CL-1605, CL-1613, CL-1614) a name that another organisation has, or that looks like one."""
    name_check(name)
    names_in_turn()  # two people at the same moment, with names that look alike
    other = alike_among(name, Organisation.objects.exclude(pk=own).values_list("name", flat=True).iterator())
    if other is not None:
        raise AppError("CL-1605", f"An organisation named {other} already exists.", remedy)


def _locked(membership: Membership) -> Membership:
    """The membership, after the organisation's row was locked: two admins cannot remove each other at once."""
    Organisation.objects.select_for_update(no_key=True).get(pk=membership.organisation_id)
    return Membership.objects.select_related("user", "organisation").get(pk=membership.pk)


def _keep_an_admin(membership: Membership, *, stays_admin: bool) -> None:
    if membership.role != Role.ADMIN or stays_admin:
        return
    others = Membership.objects.filter(
        organisation_id=membership.organisation_id, role=Role.ADMIN, is_active=True, user__is_active=True
    ).exclude(pk=membership.pk)
    if not others.exists():
        raise AppError("CL-1606", f"{membership.user} is the only administrator of {membership.organisation.name}.")


def _prepared_withdraw(actor: User, membership: Membership) -> None:
    """What the member has prepared and may prepare no longer is worth nothing: links may lie anywhere."""
    from webapp.fleet.enrolment import enrolment_tokens_withdraw

    user, organisation = membership.user, membership.organisation
    invitations_withdraw(actor=actor, sender=user, organisation=organisation)
    enrolment_tokens_withdraw(actor=actor, maker=user, organisation=organisation)


def _tokens_withdraw(actor: User, membership: Membership) -> None:
    from webapp.accounts.services import tokens_withdraw

    tokens_withdraw(actor=actor, owner=membership.user, organisation=membership.organisation)


def _recorded(actor: User, membership: Membership, action: str, details: dict[str, str]) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=membership.organisation_id,
        object_id=membership.pk,
        details={"person": membership.user.email, **details},
    )
    notify_org(membership.organisation_id, "membership", membership.user_id)


# Latin letters that no accent can be taken off, so that `slugify` would drop them.
_LETTERS = str.maketrans({
    "Ø": "O", "ø": "o", "Æ": "Ae", "æ": "ae", "Œ": "Oe", "œ": "oe", "ß": "ss", "ẞ": "SS", "Ł": "L", "ł": "l",
    "Đ": "D", "đ": "d", "Ð": "D", "ð": "d", "Þ": "Th", "þ": "th", "ı": "i", "Ħ": "H", "ħ": "h", "Ŧ": "T", "ŧ": "t",
})  # fmt: skip


def _free_slug(name: str) -> str:
    """A slug that no other organisation has; a name without Latin letters gets a made-up one."""
    base = slugify(name.translate(_LETTERS))[:48] or "organisation"
    if not Organisation.objects.filter(slug=base).exists():
        return base
    return f"{base}-{new_id('x')[-6:]}"
