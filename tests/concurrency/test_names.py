"""Two organisations that are made at the same moment do not get names that look the same."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from tests.concurrency.racing import Track
from webapp.orgs.models import Organisation
from webapp.orgs.services import organisation_create
from webapp.orgs.tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 30


def test_of_two_names_that_look_alike_one_is_given(track: Track) -> None:
    makers = [UserFactory(), UserFactory()]
    for number in range(ROUNDS):
        names = (f"Lakeside Clinic {number}a", f"Lakeside CIinic {number}a")
        answers = track.race(
            *(
                lambda a=actor, n=name: organisation_create(actor=a, name=n, kind="data")
                for actor, name in zip(makers, names, strict=True)
            )
        )
        refused = [answer.code for answer in answers if isinstance(answer, AppError)]
        assert refused == ["CL-1605"]
    assert Organisation.objects.count() == ROUNDS
