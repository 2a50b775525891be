"""An API token that a thief made with a stolen password does not outlive the password."""

from __future__ import annotations

import io
import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.test import Client

from splitcore.errors import AppError
from webapp.accounts.models import ApiToken, User
from webapp.accounts.services import token_create
from webapp.audit.models import AuditEntry
from webapp.orgs.models import Organisation
from webapp.orgs.services import membership_deactivate, membership_reactivate
from webapp.orgs.tests.factories import PASSWORD, MembershipFactory, OrganisationFactory, api_token, member

pytestmark = pytest.mark.django_db
NEW = "another very long phrase 9"
CHANGE = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def user() -> User:
    return member(OrganisationFactory())


@pytest.fixture
def client(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def organisation_of(user: User) -> Organisation:
    return user.memberships.get().organisation


def opens(secret: str) -> bool:
    return Client().get("/api/v1/me", headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def reasons() -> list[str]:
    return [entry.details["why"] for entry in AuditEntry.objects.filter(action="token.revoked")]


def test_the_page_of_the_password_lists_the_tokens_and_would_revoke_them(user: User, client: Client):
    api_token(user, organisation_of(user))
    ApiToken.objects.update(name="nightly <runs>")
    page = client.get("/accounts/password/change/").content.decode()
    assert re.search(r'<input[^>]*name="keep_tokens"', page)
    assert not re.search(r'<input[^>]*name="keep_tokens"[^>]*checked', page)
    assert f"nightly &lt;runs&gt; (…{ApiToken.objects.get().hint}, {organisation_of(user)})" in page


def test_who_has_no_live_token_is_not_asked(user: User, client: Client):
    api_token(user, organisation_of(user))
    ApiToken.objects.update(revoked_at="2020-01-01T00:00:00Z")
    assert "keep_tokens" not in client.get("/accounts/password/change/").content.decode()
    assert client.post("/accounts/password/change/", CHANGE).status_code == 302


def test_a_new_password_revokes_the_tokens_in_every_organisation_and_says_so(user: User, client: Client):
    first, second = organisation_of(user), MembershipFactory(user=user).organisation
    secrets = [api_token(user, one) for one in (first, second)]
    others = api_token(member(first), first)
    assert client.post("/accounts/password/change/", CHANGE).status_code == 302
    assert [opens(secret) for secret in (*secrets, others)] == [False, False, True]
    entries = AuditEntry.objects.filter(action="token.revoked")
    assert {entry.organisation_id for entry in entries} == {first.pk, second.pk}
    assert set(reasons()) == {"the password was changed"}


def test_a_token_that_was_made_after_the_page_was_opened_is_revoked_too(user: User, client: Client):
    assert "keep_tokens" not in client.get("/accounts/password/change/").content.decode()
    secret = api_token(user, organisation_of(user))
    assert client.post("/accounts/password/change/", CHANGE).status_code == 302
    assert not opens(secret)


def test_who_asks_for_it_keeps_the_tokens(user: User, client: Client):
    secret = api_token(user, organisation_of(user))
    assert client.post("/accounts/password/change/", CHANGE | {"keep_tokens": "on"}).status_code == 302
    assert opens(secret)
    assert not reasons()


def test_a_refused_change_revokes_nothing(user: User, client: Client):
    secret = api_token(user, organisation_of(user))
    wrong = CHANGE | {"oldpassword": "guessed"}
    assert client.post("/accounts/password/change/", wrong).status_code == 200
    assert opens(secret)


def test_a_reset_by_mail_always_revokes_them_and_the_form_says_so(user: User):
    secret = api_token(user, organisation_of(user))
    Client().post("/accounts/password/reset/", {"email": user.email})
    client = Client()
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[-1].body)[0]
    page = client.get(link, follow=True)
    assert "Your API tokens are revoked too" in page.content.decode()
    assert opens(secret), "reading the form revokes nothing"
    client.post(page.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    assert not opens(secret)
    assert reasons() == ["the password was reset"]


def test_a_password_that_an_operator_sets_by_command_revokes_them(user: User, monkeypatch):
    secret = api_token(user, organisation_of(user))
    monkeypatch.setattr("getpass.getpass", lambda prompt="": NEW)
    call_command("changepassword", user.email, stdout=io.StringIO())
    assert not opens(secret)
    assert reasons() == ["the password was changed"]


def test_who_signed_in_by_the_old_password_makes_none_that_outlives_it(user: User):
    """The thief's request was let in a moment before the owner's new password was written."""
    thief = User.objects.get(pk=user.pk)
    user.set_password(NEW)
    user.save()
    with pytest.raises(AppError) as refused:
        token_create(actor=thief, organisation=organisation_of(user), name="mine", scopes=["read"], days=365)
    assert refused.value.code == "CL-1610"
    assert not ApiToken.objects.exists()


def test_the_hash_of_a_password_that_is_only_made_anew_revokes_nothing(user: User, settings):
    secret = api_token(user, organisation_of(user))
    stored = user.password
    slow = "django.contrib.auth.hashers.PBKDF2PasswordHasher"
    settings.PASSWORD_HASHERS = [slow, *settings.PASSWORD_HASHERS]
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)
    assert User.objects.get(pk=user.pk).password != stored, "made anew by the first of the hashers"
    assert opens(secret)


def test_a_dismissed_member_s_tokens_open_nothing_after_the_return(user: User):
    organisation = organisation_of(user)
    admin, secret = member(organisation), api_token(user, organisation)
    elsewhere = api_token(user, MembershipFactory(user=user).organisation)
    membership = user.memberships.get(organisation=organisation)
    membership_deactivate(actor=admin, membership=membership)
    membership_reactivate(actor=admin, membership=membership)
    assert [opens(secret), opens(elsewhere)] == [False, True]
    assert reasons() == ["the membership ended"]
