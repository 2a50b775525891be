"""Names that would look like others: what cannot be seen is no part of a name."""

from __future__ import annotations

import pytest
from django.test import Client

from splitcore.bounds import visible_line
from webapp.audit.models import AuditEntry
from webapp.orgs.models import Organisation
from webapp.orgs.services import organisation_create
from webapp.orgs.tests.factories import OrganisationFactory, UserFactory, member

pytestmark = pytest.mark.django_db
ALIKE = [
    "Lakeside Clinic\u200b",
    "Lakeside\u2060 Clinic",
    "\u202eLakeside Clinic",
    "Lakeside Clinic\u034f",
    "Lakeside\u00a0\u2003Clinic",
    "\u3164Lakeside Clinic\ufe0f",
    "Lake\u00adside Cli\u200dnic",
]


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.mark.parametrize("name", ALIKE)
def test_a_name_that_looks_like_another_one_is_that_one(name: str):
    organisation_create(actor=UserFactory(), name="Lakeside Clinic", kind="data")
    answer = signed_in(UserFactory()).post("/organisations/new", {"name": name, "kind": "data"})
    assert "CL-1605" in answer.content.decode()
    assert Organisation.objects.count() == 1


@pytest.mark.parametrize("name", ["\u200b\u2060\u202e", "\u3164\u3164\u3164"])
def test_a_name_of_which_nothing_is_seen_is_none(name: str):
    user = member(OrganisationFactory())
    before = user.name
    client = signed_in(user)
    assert client.post("/organisations/new", {"name": name, "kind": "data"}).status_code == 200
    assert client.post("/me", {"name": name}).status_code == 200
    user.refresh_from_db()
    assert user.name == before
    assert Organisation.objects.count() == 1


@pytest.mark.parametrize("name", ["Zoë Łukasz-O’Brien", "Больница", "東京大学病院", "عيادة", "Clinic 🏥"])
def test_names_of_every_script_stay_as_they_are(name: str):
    assert visible_line(name) == name


def test_a_changed_name_of_a_person_is_shown_as_it_is_and_stands_in_the_audit_log():
    organisation = OrganisationFactory()
    user = member(organisation, name="Ada")
    client = signed_in(user)
    for _ in range(2):
        client.post("/me", {"name": "\u202egro.elpmaxe@ssob"})
    user.refresh_from_db()
    assert user.name == "gro.elpmaxe@ssob"
    (entry,) = AuditEntry.objects.filter(action="account.name_changed")
    assert entry.organisation_id == organisation.pk
    assert (entry.details["from"], entry.details["to"]) == ("Ada", "gro.elpmaxe@ssob")
