"""Names that would look like others: what cannot be seen is no part of a name, nor are look-alike letters."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.test import Client

from splitcore.bounds import visible_line
from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.models import AuditEntry
from webapp.core.names import RESERVED, name_check
from webapp.orgs.models import Organisation
from webapp.orgs.services import organisation_create, organisation_update
from webapp.orgs.tests.factories import OrganisationFactory, UserFactory, member

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


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


MIXED = [
    "\u0410cme",
    "Acm\u0435",
    "Lakes\u0456de Clinic",
    "\u0391cme",
    "\u0410\u0323cme",
    "Ac\u03bde",
    "Clinic \u0415U",
    "C\ua4f2inic",
    "C\U00010500inic",
]


@pytest.mark.parametrize("name", MIXED)
def test_a_word_in_two_alphabets_is_no_name(name: str):
    user = UserFactory()
    answer = signed_in(user).post("/organisations/new", {"name": name, "kind": "data"})
    assert "CL-1613" in answer.content.decode()
    assert name in answer.content.decode(), "what was typed is still there"
    assert not Organisation.objects.exists()
    assert "CL-1613" in signed_in(user).post("/me", {"name": name}).content.decode()
    assert not User.objects.filter(name=name).exists()


@pytest.mark.parametrize("name", ["\u0410\u0421\u0415", "\u0430\u0441\u0435", "\uff21ce"])
def test_a_name_whose_letters_all_look_like_anothers_is_that_ones(name: str):
    first = organisation_create(actor=UserFactory(), name="Ace", kind="data")
    with pytest.raises(AppError, match="CL-1605"):
        organisation_create(actor=UserFactory(), name=name, kind="data")
    other = member(OrganisationFactory())
    mine = other.memberships.get().organisation
    rest = {"kind": "data", "contact_email": "", "dpo_email": "", "require_second_factor": False}
    with pytest.raises(AppError, match="CL-1605"):
        organisation_update(actor=other, organisation=mine, name=name, **rest)
    owner = first.memberships.get().user
    assert organisation_update(actor=owner, organisation=first, name="ACE", **rest).name == "ACE"


@pytest.mark.parametrize(
    "name",
    [
        "Hub",
        "The  HUB",
        "Cutlayer",
        "Cutlayer support",
        "\u041dub".replace("ub", "\u03c5\u044c"),
        "The hub.",
        "\u201cSystem\u201d",
        "(administrator)",
        "the-hub",
        "C u t l a y e r",
        "cut-layer",
        "Cutlayers",
        "Adm\u0131n",
        "Nobody.",
        *sorted(RESERVED),
    ],
)
def test_nobody_is_called_as_the_hub_calls_itself(name: str):
    user = UserFactory()
    with pytest.raises(AppError, match=r"CL-161[34]"):
        name_check(name)
    assert "CL-161" in signed_in(user).post("/me", {"name": name}).content.decode()
    fields = {
        "name": name,
        "email": "new@example.org",
        "password1": "a very long phrase 9",
        "password2": "a very long phrase 9",
    }
    assert "CL-161" in Client().post("/accounts/signup/", fields).content.decode()
    assert not User.objects.filter(email="new@example.org").exists()
    assert "CL-161" in signed_in(user).post("/organisations/new", {"name": name, "kind": "data"}).content.decode()


@pytest.mark.parametrize(
    "name",
    [
        "Zoë Łukasz-O’Brien", "Больница №1", "Больница Nord", "東京大学病院", "عيادة", "β-Klinik", "5 µm Labs",
        "NTT東日本", "病院Tokyo", "Εθνικό Νοσοκομείο", "Hubert Worker", "Hub City Clinic", "Straße 7", "Ősz Kft.",
    ],
)  # fmt: skip
def test_names_in_any_one_alphabet_are_taken(name: str):
    made = organisation_create(actor=UserFactory(), name=name, kind="data", contact_email="a@example.org")
    assert made.name == name


def test_an_organisation_with_a_name_of_before_still_changes_the_rest():
    organisation = OrganisationFactory(name="\u0410cme")
    rest = {"kind": "data", "contact_email": "a@example.org", "dpo_email": "", "require_second_factor": False}
    changed = organisation_update(actor=member(organisation), organisation=organisation, name="\u0410cme", **rest)
    assert changed.contact_email == "a@example.org"


def test_greek_capitals_look_like_latin_ones():
    organisation_create(actor=UserFactory(), name="NATO", kind="data")
    with pytest.raises(AppError, match="CL-1605"):
        organisation_create(actor=UserFactory(), name="\u039d\u0391\u03a4\u039f", kind="data")


def test_a_hub_s_name_of_several_words_is_its_own_as_a_whole(settings):
    settings.SITE_NAME = "Northern Clinics"
    for name in ("Northern Clinics", "Northern  clinics support", "The Northern-Clinics"):
        with pytest.raises(AppError, match="CL-1614"):
            name_check(name)
    name_check("Clinics of the North")
    name_check("Northern Bank")


@pytest.mark.parametrize("name", ["Lakeside\u2010Clinic", "Lakeside CIinic", "lakeside clinic."])
def test_what_a_typeface_draws_alike_is_one_name(name: str):
    organisation_create(actor=UserFactory(), name="Lakeside Clinic", kind="data")
    with pytest.raises(AppError, match="CL-1605"):
        organisation_create(actor=UserFactory(), name=name, kind="data")
