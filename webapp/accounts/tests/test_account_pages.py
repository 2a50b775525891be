"""No page, mail or message of an account is in allauth's own words and look."""

from __future__ import annotations

from pathlib import Path

import allauth
import pytest
from allauth.account import app_settings as account
from allauth.mfa import app_settings as mfa
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.template.loader import get_template
from django.test import Client

from webapp.accounts.models import User
from webapp.accounts.tests.test_second_factor import code_of
from webapp.orgs.tests.factories import PASSWORD, OrganisationFactory, member

pytestmark = pytest.mark.django_db
NEW = "another very long phrase 9"
ALLAUTH = Path(allauth.__file__).parent / "templates"
# Of features that are off (see the test), and parts of pages alone.
NEVER_SHOWN = (
    "login_code",
    "password_reset_code",
    "verification_code",
    "confirm_code",
    "phone",
    "passkey",
    "webauthn",
    "trust",
    "email_change.html",
    "verified_email_required",
    "snippets/",
    "/base_entrance",
    "/base_manage",
    "/base.html",
    "recovery_codes/download.txt",
)
FOREIGN_WORDS = (
    "Email", " email ", "Sign Out", "(again)", "Remember Me", "Please", "safeguard", "Deactivate", "Are you sure",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def user() -> User:
    return member(OrganisationFactory(), name="Ines Vargas")


@pytest.fixture
def signed_in(user: User) -> Client:
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    return client


def test_every_template_that_allauth_may_show_is_replaced_by_one_of_our_own():
    off = (
        account.LOGIN_BY_CODE_ENABLED,
        account.EMAIL_VERIFICATION_BY_CODE_ENABLED,
        account.PASSWORD_RESET_BY_CODE_ENABLED,
        account.CHANGE_EMAIL,
        mfa.PASSKEY_LOGIN_ENABLED,
        mfa.TRUST_ENABLED,
        "webauthn" in mfa.SUPPORTED_TYPES,
    )
    assert not any(off)
    folders = [ALLAUTH / name for name in ("account", "mfa", "usersessions")]
    names = [str(path.relative_to(ALLAUTH)) for folder in folders for path in folder.rglob("*.*")]
    shown = [name for name in names if not any(part in name for part in NEVER_SHOWN)]
    own = settings.BASE_DIR / "templates"
    assert len(shown) > 50
    assert [name for name in shown if own not in Path(get_template(name).origin.name).parents] == []


def main_of(client: Client, path: str) -> str:
    """The content of a page, without its frame."""
    answer = client.get(path, follow=True)
    assert answer.status_code == 200, path
    text = answer.content.decode()
    return text[text.index("<main") : text.index("</main")]


@pytest.mark.parametrize(
    "path",
    [
        "login",
        "signup",
        "inactive",
        "password/reset",
        "password/reset/done",
        "password/reset/key/a-b",
        "password/reset/key/done",
        "confirm-email",
        "confirm-email/x",
    ],
)
def test_pages_of_a_visitor_use_the_words_of_the_interface(path: str):
    page = main_of(Client(), f"/accounts/{path}/")
    assert "<h1>" in page
    assert [word for word in FOREIGN_WORDS if word in page] == []


def test_pages_of_an_account_use_the_words_of_the_interface(user: User, signed_in: Client):
    paths = ["email", "password/change", "2fa", "2fa/totp/activate", "sessions", "logout", "reauthenticate"]
    signed_in.post("/accounts/reauthenticate/", {"password": PASSWORD})
    pages = {path: main_of(signed_in, f"/accounts/{path}/") for path in paths}
    secret = generate_totp_secret()
    TOTP.activate(user, secret)
    RecoveryCodes.activate(user)
    both = Client()
    both.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    both.post("/accounts/2fa/authenticate/", {"code": code_of(secret)})
    both.post("/accounts/reauthenticate/", {"password": PASSWORD})
    protected = [
        "2fa",
        "2fa/recovery-codes",
        "2fa/recovery-codes/generate",
        "2fa/totp/deactivate",
        "2fa/reauthenticate",
    ]
    pages |= {f"{path} with a second factor": main_of(both, f"/accounts/{path}/") for path in protected}
    found = {name: [word for word in FOREIGN_WORDS if word in page] for name, page in pages.items()}
    assert {name: words for name, words in found.items() if words} == {}
    assert "10 of 10 codes are unused" in pages["2fa/recovery-codes with a second factor"]


def test_another_session_is_ended_from_the_list_of_sessions(user: User, signed_in: Client):
    other = Client(headers={"user-agent": "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"})
    other.post("/accounts/login/", {"login": user.email, "password": PASSWORD})
    assert other.get("/home").status_code == 200
    assert "Firefox on Linux" in main_of(signed_in, "/accounts/sessions/")
    signed_in.post("/accounts/sessions/")
    assert other.get("/home").status_code == 302
    assert "Sign out other sessions" not in main_of(signed_in, "/accounts/sessions/")


def test_a_wrong_password_and_a_wrong_code_are_refused_in_plain_words(user: User, signed_in: Client):
    wrong = Client().post("/accounts/login/", {"login": user.email, "password": "wrong"}).content.decode()
    assert "The e-mail address or password is incorrect." in wrong
    fields = {"oldpassword": "wrong", "password1": NEW, "password2": NEW}
    page = signed_in.post("/accounts/password/change/", fields).content.decode()
    assert "your current password." in page


@pytest.mark.django_db(transaction=True)
def test_a_notice_of_a_change_names_the_person_the_change_and_the_browser(user: User, signed_in: Client):
    fields = {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW}
    signed_in.post("/accounts/password/change/", fields, headers={"user-agent": "curl/8"}, REMOTE_ADDR="192.0.2.7")
    [notice] = mail.outbox
    assert notice.subject.endswith("Your password was changed")
    for words in ("Hello Ines Vargas,", "The password of your account", "192.0.2.7, curl"):
        assert words in notice.body
    assert "Thank you" not in notice.body


@pytest.mark.django_db(transaction=True)
def test_the_notice_of_a_reset_names_the_person_who_is_not_signed_in(user: User):
    client = Client()
    client.post("/accounts/password/reset/", {"email": user.email})
    [link] = [word for word in mail.outbox[-1].body.split() if "/password/reset/key/" in word]
    form_url = client.get("/" + link.split("/", 3)[3], follow=True).redirect_chain[-1][0]
    client.post(form_url, {"password1": NEW, "password2": NEW})
    assert "Hello Ines Vargas," in mail.outbox[-1].body
    assert "AnonymousUser" not in mail.outbox[-1].body


def test_the_notice_of_a_changed_password_does_not_ask_to_sign_in_with_it(user: User, signed_in: Client):
    signed_in.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})
    text = mail.outbox[-1].body
    assert "Forgot your password?" in text
    assert "sign in, change your password" not in text


def test_an_account_with_two_factors_is_told_before_it_types_a_further_address(user: User, signed_in: Client):
    form = 'name="action_add"'
    assert form in signed_in.get("/accounts/email/").content.decode()
    TOTP.activate(user, generate_totp_secret())
    page = signed_in.get("/accounts/email/").content.decode()
    assert form not in page
    assert "can't add an address" in page


def test_somebody_without_an_organisation_can_sign_out():
    client = Client()
    client.force_login(User.objects.create_user(email="new@example.org", password=PASSWORD, name="New"))
    page = client.get("/organisations/new").content.decode()
    assert 'action="/accounts/logout/"' in page
    assert "Open the hub" not in page, "it leads back to this page"


def test_the_page_of_tokens_shows_all_that_the_command_needs(signed_in: Client):
    page = signed_in.get("/org/tokens").content.decode()
    assert f"export CUTLAYER_HUB={settings.BASE_URL} CUTLAYER_TOKEN=clt_" in page
