"""Registering by e-mail, verifying, signing in, the second factor, and the throttle of guesses."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import hotp_value, yield_hotp_counters_from_time
from django.core import mail
from django.core.cache import cache
from django.test import Client

from webapp.accounts.models import User
from webapp.orgs.invitations import invite_person
from webapp.orgs.tests.factories import PASSWORD, MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db
SECRET = "a long enough phrase 7"


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


def sign_up(client: Client, email: str = "ada@example.org", name: str = "Ada Lovelace"):
    data = {"name": name, "email": email, "password1": SECRET, "password2": SECRET}
    return client.post("/accounts/signup/", data)


def confirm(client: Client) -> None:
    link = re.search(r"/accounts/confirm-email/\S+", mail.outbox[-1].body)[0]
    assert client.get(link).status_code == 200
    client.post(link)


def sign_in(client: Client, email: str = "ada@example.org", password: str = SECRET):
    return client.post("/accounts/login/", {"login": email, "password": password})


def test_a_person_registers_verifies_and_creates_an_organisation():
    client = Client()
    sign_up(client)
    assert User.objects.get().name == "Ada Lovelace"
    assert sign_in(client).url == "/accounts/confirm-email/"  # not before the address is confirmed
    assert client.get("/home").status_code == 302
    confirm(client)
    sign_in(client)
    assert client.get("/home").url == "/organisations/new"
    made = client.post("/organisations/new", {"name": "Clinic A", "kind": "data"})
    assert made.url == "/home"
    page = client.get("/home").content.decode()
    assert "First steps" in page
    assert "Enrol a worker" in page


def test_the_mails_are_plain_text_with_the_link_on_a_line_of_its_own():
    sign_up(Client())
    message = mail.outbox[0]
    assert not message.alternatives
    assert re.search(r"^\s*http://127\.0\.0\.1:8000/accounts/confirm-email/\S+$", message.body, re.M)
    assert "&" not in message.body


def test_signing_up_with_a_known_address_reveals_nothing():
    UserFactory(email="known@example.org")
    known, unknown = sign_up(Client(), "known@example.org"), sign_up(Client(), "new@example.org")
    assert (known.status_code, known.url) == (unknown.status_code, unknown.url)


def test_an_invited_person_comes_back_to_the_invitation_after_signing_up(django_capture_on_commit_callbacks):
    membership = MembershipFactory()
    _, token = invite_person(
        actor=membership.user, organisation=membership.organisation, email="ada@example.org", role="engineer"
    )
    client = Client()
    client.get(f"/invite/{token}")
    sign_up(client)
    confirm(client)
    answer = sign_in(client)
    assert answer.url.startswith("/invite/inv_")
    assert client.post(f"{answer.url}/accept").url == "/home"


@pytest.mark.promise(8, figure="429 after 5 passwords")
def test_five_wrong_passwords_in_a_minute_are_answered_429():
    UserFactory(email="ada@example.org")
    answers = [sign_in(Client(), password=f"wrong {n}").status_code for n in range(100)]
    assert answers == [200] * 5 + [429] * 95
    right = sign_in(Client(), password=PASSWORD)
    assert right.status_code == 429  # a guess that happens to be right gains nothing
    assert "CL-1603" in right.content.decode()
    assert 0 < int(right["Retry-After"]) <= 60


def sign_in_from(
    address: str, *, client: Client | None = None, email: str = "ada@example.org", password: str = "wrong"
):
    client = client or Client()
    return client.post("/accounts/login/", {"login": email, "password": password}, REMOTE_ADDR=address)


def test_wrong_passwords_from_one_address_do_not_lock_the_person_out_elsewhere():
    UserFactory(email="ada@example.org")
    assert [sign_in_from("203.0.113.9").status_code for _ in range(7)][-1] == 429
    assert sign_in_from("198.51.100.7", password=PASSWORD).status_code == 302


def test_wrong_passwords_for_one_person_do_not_lock_a_colleague_out_of_the_same_network():
    UserFactory(email="ada@example.org")
    UserFactory(email="bob@example.org")
    assert [sign_in_from("203.0.113.9").status_code for _ in range(7)][-1] == 429
    assert sign_in_from("203.0.113.9", email="bob@example.org", password=PASSWORD).status_code == 302


def test_guesses_from_many_addresses_are_limited_and_a_known_browser_passes():
    UserFactory(email="ada@example.org")
    known = Client()
    assert sign_in_from("192.0.2.1", client=known, password=PASSWORD).status_code == 302
    known.post("/accounts/logout/")
    answers = [sign_in_from(f"203.0.113.{n // 5}").status_code for n in range(40)]
    assert answers == [200] * 30 + [429] * 10
    assert sign_in_from("198.51.100.7", password=PASSWORD).status_code == 429  # an unknown browser waits
    assert sign_in_from("203.0.113.0", client=known, password=PASSWORD).status_code == 302


def test_a_known_browser_has_no_more_guesses_than_others_and_is_forgotten_with_the_password():
    user = UserFactory(email="ada@example.org")
    known = Client()
    sign_in_from("192.0.2.1", client=known, password=PASSWORD)
    known.post("/accounts/logout/")
    assert [sign_in_from("192.0.2.1", client=known).status_code for _ in range(6)] == [200] * 5 + [429]
    cache.clear()
    user.set_password("another long phrase 7")
    user.save()
    for n in range(30):
        sign_in_from(f"203.0.113.{n // 5}")
    assert sign_in_from("192.0.2.1", client=known, password="another long phrase 7").status_code == 429


def test_many_accounts_tried_from_one_address_are_limited():
    answers = [sign_in_from("203.0.113.9", email=f"p{n}@example.org").status_code for n in range(32)]
    assert answers == [200] * 30 + [429] * 2


def test_signing_up_too_often_is_answered_with_code_and_time():
    answers = [sign_up(Client(), f"p{n}@example.org") for n in range(21)]
    assert answers[-1].status_code == 429
    assert answers[-1]["Retry-After"] == "60"
    assert "CL-1603" in answers[-1].content.decode()


def test_successful_sign_ins_are_not_counted():
    UserFactory(email="ada@example.org")
    assert [sign_in(Client(), password=PASSWORD).status_code for _ in range(8)] == [302] * 8


def code_for(secret: str) -> str:
    counter = next(iter(yield_hotp_counters_from_time()))
    return f"{hotp_value(secret, counter):06d}"


def test_a_second_factor_is_set_up_asked_for_and_replaced_by_a_recovery_code():
    UserFactory(email="ada@example.org")
    client = Client()
    sign_in(client, password=PASSWORD)
    assert client.get("/accounts/2fa/totp/activate/").url.startswith("/accounts/reauthenticate/")
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    page = client.get("/accounts/2fa/totp/activate/").content.decode()
    secret = client.session["mfa.totp.secret"]
    assert secret in page  # for those who cannot scan the picture
    assert client.post("/accounts/2fa/totp/activate/", {"code": code_for(secret)}).status_code == 302
    assert set(Authenticator.objects.values_list("type", flat=True)) == {"totp", "recovery_codes"}
    codes = Authenticator.objects.get(type="recovery_codes").wrap().get_unused_codes()
    assert codes[0] in client.get("/accounts/2fa/recovery-codes/").content.decode()

    other = Client()
    assert sign_in(other, password=PASSWORD).url.startswith("/accounts/2fa/authenticate/")
    assert other.get("/home").status_code == 302
    assert other.post("/accounts/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert other.post("/accounts/2fa/authenticate/", {"code": codes[0]}).status_code == 302
    assert other.get("/organisations/new").status_code == 200

    third = Client()
    sign_in(third, password=PASSWORD)
    assert third.post("/accounts/2fa/authenticate/", {"code": codes[0]}).status_code == 200  # spent


def test_sessions_are_listed_and_others_can_be_ended():
    UserFactory(email="ada@example.org")
    here, there = Client(), Client()
    sign_in(here, password=PASSWORD)
    sign_in(there, password=PASSWORD)
    there.get("/organisations/new")
    assert here.get("/accounts/sessions/").status_code == 200
    here.post("/accounts/sessions/")
    assert there.get("/organisations/new").url.startswith("/accounts/login/")
    assert here.get("/organisations/new").status_code == 200
