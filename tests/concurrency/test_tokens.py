"""A new password or a dismissal against an API token that is made at the same moment."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from tests.concurrency.racing import Track
from webapp.accounts.models import ApiToken, User
from webapp.accounts.services import token_create
from webapp.orgs.services import membership_deactivate, membership_reactivate
from webapp.orgs.tests.factories import OrganisationFactory, member

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 30


def new_password(user: User, number: int) -> None:
    user.set_password(f"quite a long phrase {number}")
    user.save()


def test_no_token_survives_a_password_that_is_replaced_while_it_is_made(track: Track) -> None:
    organisation = OrganisationFactory()
    owner = member(organisation)
    for number in range(ROUNDS):
        thief = User.objects.get(pk=owner.pk)  # let in by the old password
        answers = track.race(
            lambda t=thief: token_create(actor=t, organisation=organisation, name="x", scopes=["read"], days=9),
            lambda n=number: new_password(owner, n),
        )
        assert not ApiToken.objects.filter(revoked_at=None).exists()
        assert not isinstance(answers[0], AppError) or answers[0].code == "CL-1610"


def test_no_token_survives_a_dismissal_while_it_is_made(track: Track) -> None:
    organisation = OrganisationFactory()
    admin, dismissed = member(organisation), member(organisation)
    membership = dismissed.memberships.get()
    for _ in range(ROUNDS):
        track.race(
            lambda: token_create(actor=dismissed, organisation=organisation, name="x", scopes=["read"], days=9),
            lambda: membership_deactivate(actor=admin, membership=membership),
        )
        assert not ApiToken.objects.filter(revoked_at=None).exists()
        membership_reactivate(actor=admin, membership=membership)
