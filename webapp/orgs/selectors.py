"""Reads of organisations, members and invitations. What is not visible to a person does not exist for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allauth.mfa.models import Authenticator
from django.db.models import Exists, Q, QuerySet
from django.http import Http404
from django.utils import timezone

from webapp.core.ids import token_hash
from webapp.orgs.models import Invitation, InvitationState, Membership, Organisation

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User


SECOND_FACTORS = (Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN)


def memberships_held_by(user: User | AnonymousUser) -> QuerySet[Membership]:
    """The active memberships of a person in organisations in use, oldest first, each with `may_act`.

    They tell where a person belongs, not what they may do: that is `memberships_of`. Under an API token, only that of
    the token's organisation.
    """
    if not user.is_authenticated or not user.is_active:
        return Membership.objects.none()
    memberships = Membership.objects.filter(user_id=user.pk, is_active=True, organisation__is_active=True)
    bound = getattr(user, "token_organisation_id", None)
    if bound is not None:
        memberships = memberships.filter(organisation_id=bound)
    memberships = memberships.annotate(may_act=_second_factor_rule(user))
    return memberships.select_related("organisation").order_by("created_at", "id")


def memberships_of(user: User | AnonymousUser) -> QuerySet[Membership]:
    """The memberships with which a person may act now: the one rule that pages, sockets, tokens and answers all pass.

    An active person and membership, an organisation in use, and a second factor where the organisation demands one.
    """
    return memberships_held_by(user).filter(_second_factor_rule(user))


def _second_factor_rule(user: User | AnonymousUser) -> Q:
    """The person has a second factor and has given it in this session, or the organisation demands none.

    A session of before the factor was set up may be somebody else's. API tokens and the hub's own tasks have none.
    """
    none_demanded = ~Q(organisation__require_second_factor=True)
    if getattr(user, "by_password_alone", False):
        return none_demanded
    return none_demanded | Q(Exists(Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS)))


def has_second_factor(user: User) -> bool:
    """Whether the account has one; the session may have begun without it."""
    return Authenticator.objects.filter(user_id=user.pk, type__in=SECOND_FACTORS).exists()


def lacks_second_factor(user: User | AnonymousUser, organisation: Organisation | str) -> bool:
    """Whether a person belongs to the organisation and may not act for it without a second factor."""
    organisation_id = organisation if isinstance(organisation, str) else organisation.pk
    held = memberships_held_by(user).filter(organisation_id=organisation_id, organisation__require_second_factor=True)
    return held.exists() and membership_of(user, organisation) is None


def organisations_of(user: User | AnonymousUser) -> QuerySet[Organisation]:
    """The organisations for which a person may act."""
    return Organisation.objects.filter(id__in=organisation_ids_of(user))


def organisation_ids_of(user: User | AnonymousUser) -> QuerySet[Membership, str]:
    """A subquery of those organisations' ids: what every `…_visible_to(user)` builds on."""
    return memberships_of(user).order_by().values_list("organisation_id", flat=True)


def membership_of(user: User | AnonymousUser, organisation: Organisation | str) -> Membership | None:
    """The membership with which the person may act for one organisation now, or none."""
    organisation_id = organisation if isinstance(organisation, str) else organisation.pk
    return memberships_of(user).filter(organisation_id=organisation_id).first()


def organisation_get_for(*, user: User, organisation_id: str) -> Organisation:
    """One of the person's own organisations, else 404."""
    organisation = organisations_of(user).filter(id=organisation_id).first()
    if organisation is None:
        raise Http404
    return organisation


def members_of(organisation: Organisation) -> QuerySet[Membership]:
    """Everyone who is or was in the organisation, the active ones first."""
    return organisation.memberships.select_related("user").order_by("-is_active", "created_at", "id")


def membership_get_for(*, user: User, membership_id: str) -> Membership:
    """A membership of one of the person's own organisations, else 404."""
    found = Membership.objects.filter(id=membership_id, organisation_id__in=organisation_ids_of(user))
    membership = found.select_related("user", "organisation").first()
    if membership is None:
        raise Http404
    return membership


def invitations_visible_to(user: User | AnonymousUser) -> QuerySet[Invitation]:
    """The invitations that the person's own organisations have sent."""
    return (
        Invitation.objects.filter(organisation_id__in=organisation_ids_of(user))
        .select_related("organisation", "project", "created_by", "decided_by", "accepted_organisation")
        .order_by("-created_at", "id")
    )


def invitation_get_for(*, user: User, invitation_id: str) -> Invitation:
    """An invitation that one of the person's organisations has sent, else 404."""
    invitation = invitations_visible_to(user).filter(id=invitation_id).first()
    if invitation is None:
        raise Http404
    return invitation


def invitation_by_key(*, key: str, user: User | AnonymousUser, opened_id: str) -> Invitation | None:
    """The invitation that a link names: by its token, or by its id for whom it addresses or who opened its link."""
    known = Invitation.objects.select_related("organisation", "project__owner", "created_by", "accepted_organisation")
    if not key.startswith(f"{Invitation.id_prefix}_"):
        return known.filter(token_hash=token_hash(key)).first()
    invitation = known.filter(id=key).first()
    if invitation is None or (key != opened_id and not is_addressed_to(invitation, user)):
        return None
    return invitation


def is_addressed_to(invitation: Invitation, user: User | AnonymousUser) -> bool:
    """Whether one of the person's verified addresses is the invited one."""
    return user.is_authenticated and invitation.email in _verified_addresses(user)


def invitations_addressed_to(user: User) -> QuerySet[Invitation]:
    """The open invitations to one of the person's verified addresses."""
    return (
        Invitation.objects.filter(
            email__in=_verified_addresses(user), state=InvitationState.PENDING, expires_at__gt=timezone.now()
        )
        .select_related("organisation", "project", "created_by")
        .order_by("-created_at")
    )


def _verified_addresses(user: User) -> list[str]:
    addresses = user.emailaddress_set.filter(verified=True)  # type: ignore[attr-defined]
    return [address.lower() for address in addresses.values_list("email", flat=True)]
