"""What the pages say of mails that stay on the hub's machine, and the page of a person's addresses."""

from __future__ import annotations

from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.core.cache import cache
from django.test import Client

from webapp.core.file_mail import mail_kept_in
from webapp.orgs.tests.factories import PASSWORD, MembershipFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def in_files(settings, tmp_path):
    settings.EMAIL_BACKEND = "webapp.core.file_mail.PrivateFileBackend"
    settings.VAR_DIR = tmp_path / "hub"
    settings.EMAIL_FILE_PATH = str(tmp_path / "hub" / "mail")


def mailing_pages() -> dict[str, str]:
    """The page after each act that makes a mail."""
    guest, admin = Client(), Client()
    admin.force_login(MembershipFactory().user)
    signup = {"name": "New", "email": "new@example.org", "password1": PASSWORD, "password2": PASSWORD}
    reset = {"email": UserFactory().email}
    answers = {
        "signup": guest.post("/accounts/signup/", signup, follow=True),
        "reset": Client().post("/accounts/password/reset/", reset, follow=True),
        "invitation": admin.post("/org/invitations/new", {"email": "b@example.org", "role": "viewer"}),
    }
    return {name: answer.content.decode() for name, answer in answers.items()}


@pytest.mark.django_db(transaction=True)
def test_without_a_mail_server_every_page_says_where_the_mail_lies(in_files):
    for name, page in mailing_pages().items():
        assert "ve sent" not in page, name
        assert "<code>hub/mail</code>" in page, name
        assert str(Path(settings.VAR_DIR).parent) not in page, name  # strangers learn no path of the machine
    # Two mails of one second may share a file.
    mails = "".join(file.read_text() for file in Path(settings.EMAIL_FILE_PATH).iterdir())
    assert mails.count("\nSubject: ") == 3


@pytest.mark.django_db(transaction=True)
def test_with_a_mail_server_every_page_says_that_the_mail_was_sent():
    for name, page in mailing_pages().items():
        assert "ve sent" in page, name
        assert "EMAIL_URL" not in page, name


def test_a_mail_folder_elsewhere_is_called_by_its_setting(in_files, settings, tmp_path):
    settings.EMAIL_FILE_PATH = str(tmp_path / "elsewhere")
    assert mail_kept_in() == "CUTLAYER_MAIL_DIR"


def addresses_of(user) -> str:
    client = Client()
    client.force_login(user)
    page = client.get("/accounts/email/").content.decode()
    return page[page.index("<main") :]


def test_the_only_address_is_neither_made_primary_nor_removed():
    page = addresses_of(MembershipFactory().user)
    assert "E-mail addresses" in page
    for absent in ("Make primary", "Remove", "Resend link", "Email", "Verification"):
        assert absent not in page, absent


def test_further_addresses_have_the_acts_that_suit_their_state():
    user = UserFactory()
    EmailAddress.objects.create(user=user, email="second@example.org", verified=True)
    EmailAddress.objects.create(user=user, email="third@example.org", verified=False)
    page = addresses_of(user)
    rows = {row.partition("</th>")[0].split()[-1]: row for row in page.split('<th scope="row">')[1:]}
    assert ["Make primary" in rows[f"{name}@example.org"] for name in ("second", "third")] == [True, False]
    assert ["Resend link" in rows[f"{name}@example.org"] for name in ("second", "third")] == [False, True]
    for name in ("second", "third"):
        pk = EmailAddress.objects.get(email=f"{name}@example.org").pk
        assert page.count(f'data-dialog-open="remove-{pk}"') == 1
        assert f'id="remove-{pk}"' in page
