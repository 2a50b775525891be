"""What whoever holds a person's session, and nothing else, can not do."""

from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from asgiref.sync import sync_to_async
from django.core import mail
from django.core.cache import cache
from django.test import Client

from webapp.accounts.models import ApiToken, User
from webapp.accounts.tests.test_second_factor import code_of
from webapp.audit.models import AuditEntry
from webapp.fleet.tests.sockets import browser_socket, close_code
from webapp.orgs.models import Organisation
from webapp.orgs.tests.factories import PASSWORD, OrganisationFactory, member

pytestmark = pytest.mark.django_db
NEW = "thief@evil.example"
TOKEN = {"name": "x", "scopes": ["read"], "days": "7"}


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def user() -> User:
    return member(OrganisationFactory())


def sign_in(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def age(client: Client) -> None:
    """Let the sign-in of the session be an hour ago."""
    session = client.session
    for record in session["account_authentication_methods"]:
        record["at"] -= 3600
    session.save()


def prove(client: Client, to: str = "/home"):
    return client.post(f"/accounts/reauthenticate/?next={to}", {"password": PASSWORD})


def set_factor_up(client: Client) -> str:
    prove(client)
    client.get("/accounts/2fa/totp/activate/")
    secret = client.session["mfa.totp.secret"]
    assert client.post("/accounts/2fa/totp/activate/", {"code": code_of(secret)}).status_code == 302
    return secret


def actions() -> list[str]:
    return list(AuditEntry.objects.order_by("sequence").values_list("action", flat=True))


def addresses(user: User) -> set[str]:
    return set(EmailAddress.objects.filter(user=user).values_list("email", flat=True))


def test_an_address_is_neither_added_nor_made_primary_nor_removed_without_the_password(user: User):
    second = EmailAddress.objects.create(user=user, email="second@example.org", verified=True)
    before, client = addresses(user), sign_in(user)
    for fields in (
        {"action_add": "", "email": NEW},
        {"action_primary": "", "email": second.email},
        {"action_remove": "", "email": second.email},
    ):
        assert client.post("/accounts/email/", fields).url.startswith("/accounts/reauthenticate/")
    assert addresses(user) == before
    assert EmailAddress.objects.get_primary(user).email == user.email
    assert not mail.outbox


def test_a_change_of_address_is_told_to_the_former_one_and_stands_in_the_audit_log(user: User):
    old, client = user.email, sign_in(user)
    prove(client)
    client.post("/accounts/email/", {"action_add": "", "email": NEW})
    (told,) = [message for message in mail.outbox if message.to == [old]]
    assert NEW in told.body
    (asked,) = [message for message in mail.outbox if message.to == [NEW]]
    Client().post(re.search(r"/accounts/confirm-email/\S+", asked.body)[0])
    mail.outbox.clear()
    client.post("/accounts/email/", {"action_primary": "", "email": NEW})
    assert [message.to for message in mail.outbox] == [[old]]
    assert NEW in mail.outbox[0].body
    client.post("/accounts/email/", {"action_remove": "", "email": old})
    assert addresses(user) == {NEW}
    assert actions() == ["account.address_added", "account.address_changed", "account.address_removed"]
    assert {entry.organisation_id for entry in AuditEntry.objects.all()} == {user.memberships.get().organisation_id}


def test_an_api_token_needs_a_recent_proof_of_who_makes_it(user: User):
    client = sign_in(user)
    age(client)
    refused = client.post("/org/tokens", TOKEN)
    assert refused.url == "/accounts/reauthenticate/?next=%2Forg%2Ftokens"
    assert not ApiToken.objects.exists()
    prove(client, "/org/tokens")
    assert "Your new token" in client.get("/org/tokens").content.decode(), "the form goes on where it was"
    soon = sign_in(user).post("/org/tokens", TOKEN, follow=True).content.decode()
    assert "Your new token" in soon, "as it does soon after signing in"


@pytest.mark.django_db(transaction=True)
def test_setting_a_second_factor_up_ends_every_other_session(user: User):
    thief, own = sign_in(user), sign_in(user)
    set_factor_up(own)
    assert thief.get("/home").url.startswith("/accounts/login/")
    assert own.get("/home").status_code == 200
    assert actions() == ["account.second_factor_added"]


def test_a_session_of_before_the_second_factor_does_not_pass_where_one_is_required(user: User):
    old = sign_in(user)
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    Organisation.objects.update(require_second_factor=True)
    assert old.get("/org/people").url.startswith("/accounts/2fa/reauthenticate/")
    assert old.post("/org/tokens", TOKEN).status_code == 302
    assert not ApiToken.objects.exists()
    answer = old.post("/accounts/2fa/reauthenticate/?next=/org/people", {"code": code_of(secret)})
    assert answer.url == "/org/people"
    assert old.get("/org/people").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_the_browser_that_sets_the_second_factor_up_goes_on_where_one_is_required(user: User):
    client = sign_in(user)
    Organisation.objects.update(require_second_factor=True)
    assert client.get("/home").url == "/accounts/2fa/totp/activate/"
    set_factor_up(client)
    assert client.get("/home").status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_a_feed_does_not_open_for_a_session_of_before_the_second_factor():
    def made() -> User:
        user = member(OrganisationFactory(require_second_factor=True))
        TOTP.activate(user, generate_totp_secret())
        return user

    socket = await browser_socket("/ws/fleet/", await sync_to_async(made)())
    await socket.connect()
    assert await close_code(socket) == 4403
