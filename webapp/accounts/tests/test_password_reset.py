"""Resetting a password: from the mail to the new password, and where the links of mails lead."""

from __future__ import annotations

import re

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client

from webapp.accounts.models import User
from webapp.orgs.tests.factories import PASSWORD, OrganisationFactory, member

pytestmark = pytest.mark.django_db
NEW = "another very long phrase 9"
HOME = "https://hub.example.org"


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def user() -> User:
    return member(OrganisationFactory())


def mailed_link(user: User) -> str:
    Client().post("/accounts/password/reset/", {"email": user.email})
    return re.search(r"/accounts/password/reset/key/\S+", mail.outbox[-1].body)[0]


def sign_in(user: User, password: str) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": password})
    return client


def test_a_mailed_link_leads_to_a_new_password(user: User):
    before = sign_in(user, PASSWORD)
    client = Client()
    page = client.get(mailed_link(user), follow=True)
    assert page.status_code == 200
    assert 'name="password1"' in page.content.decode()
    (form_url, _) = page.redirect_chain[-1]
    done = client.post(form_url, {"password1": NEW, "password2": NEW}, follow=True)
    assert done.redirect_chain[-1][0] == "/accounts/password/reset/key/done/"
    assert done.status_code == 200
    assert sign_in(user, NEW).get("/home").status_code == 200
    assert sign_in(user, PASSWORD).get("/home").status_code == 302
    assert before.get("/home").status_code == 302, "sessions under the former password have ended"


def test_a_used_link_is_dead_and_so_is_every_other_one_from_before(user: User):
    link, other = mailed_link(user), mailed_link(user)
    client = Client()
    form_url = client.get(link, follow=True).redirect_chain[-1][0]
    client.post(form_url, {"password1": NEW, "password2": NEW})
    for dead in (link, other):
        again = Client().get(dead, follow=True)
        assert not again.redirect_chain
        assert 'name="password1"' not in again.content.decode()


@pytest.mark.parametrize("uid", ["usr", "0" * 16, "x"])
def test_a_link_of_nobody_opens_no_form(user: User, uid: str):
    key = mailed_link(user).split("-", 1)[1]
    page = Client().get(f"/accounts/password/reset/key/{uid}-{key}", follow=True)
    assert page.status_code == 200
    assert 'name="password1"' not in page.content.decode()


@pytest.mark.parametrize("host", ["testserver:4444", "127.0.0.1:31337", "localhost"])
def test_links_in_mails_lead_to_the_hub_whatever_the_request_calls_it(user: User, settings, host: str):
    settings.BASE_URL = HOME
    Client().post("/accounts/password/reset/", {"email": user.email}, HTTP_HOST=host)
    Client().post("/accounts/password/reset/", {"email": "nobody@example.org"}, HTTP_HOST=host)
    fields = {"name": "N", "password1": NEW, "password2": NEW}
    for email in ("new@example.org", user.email):
        Client().post("/accounts/signup/", {**fields, "email": email}, HTTP_HOST=host)
    assert len(mail.outbox) == 4
    for message in mail.outbox:
        assert set(re.findall(r"https?://[^/\s]+", message.body)) == {HOME}
        assert host.split(":")[0] not in message.body + message.subject
