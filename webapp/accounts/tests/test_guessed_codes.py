"""Wrong codes of a second factor are counted per person, across sessions, addresses and kinds of code."""

from __future__ import annotations

from pathlib import Path

import pytest
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.core.cache import cache
from django.test import Client

from processes.redis_server import RedisServer
from webapp.accounts.models import User
from webapp.accounts.tests.test_second_factor import code_of
from webapp.audit.models import AuditEntry
from webapp.orgs.tests.factories import PASSWORD, OrganisationFactory, member
from webapp.settings.redis import connection_options

pytestmark = pytest.mark.django_db
STEP = "/accounts/2fa/authenticate/"


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def secret() -> str:
    return generate_totp_secret()


@pytest.fixture
def user(secret: str) -> User:
    user = member(OrganisationFactory())
    TOTP.activate(user, secret)
    return user


def half_signed_in(user: User, address: str = "203.0.113.9", client: Client | None = None) -> Client:
    """A browser that has given the right password and is asked for the code."""
    client = client or Client()
    client.defaults["REMOTE_ADDR"] = address
    assert client.post("/accounts/login/", {"login": user.email, "password": PASSWORD}).url.startswith(STEP)
    return client


def wrong(secret: str, nth: int = 0) -> str:
    return f"{(int(code_of(secret)) + 7 + nth) % 10**6:06d}"


def guess(client: Client, secret: str, times: int, url: str = STEP) -> list[int]:
    return [client.post(url, {"code": wrong(secret, nth)}).status_code for nth in range(times)]


def guesses_recorded() -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action="account.codes_guessed"))


def test_five_wrong_codes_in_a_minute_are_answered_429(user: User, secret: str):
    client = half_signed_in(user)
    assert guess(client, secret, 100) == [200] * 5 + [429] * 95
    right = client.post(STEP, {"code": code_of(secret)})
    assert right.status_code == 429  # a guess that happens to be right gains nothing
    assert "CL-1603" in right.content.decode()
    assert 0 < int(right["Retry-After"]) <= 60
    assert client.get("/home").status_code == 302


def test_a_fresh_session_does_not_begin_to_count_anew(user: User, secret: str):
    assert [guess(half_signed_in(user), secret, 1)[0] for _ in range(7)] == [200] * 5 + [429] * 2


def test_wrong_recovery_codes_count_as_wrong_codes_of_the_app(user: User, secret: str):
    codes = RecoveryCodes.activate(user).get_unused_codes()
    client = half_signed_in(user)
    assert guess(client, secret, 3) == [200] * 3
    assert [client.post(STEP, {"code": f"{nth:08d}"}).status_code for nth in range(3)] == [200] * 2 + [429]
    assert client.post(STEP, {"code": codes[0]}).status_code == 429


def test_codes_tried_in_a_stolen_session_are_counted_too(user: User, secret: str):
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert guess(client, secret, 6, "/accounts/2fa/reauthenticate/") == [200] * 5 + [429]


def test_guesses_from_many_addresses_are_limited_by_the_hour_and_a_known_browser_passes(user: User, secret: str):
    known = half_signed_in(user, "192.0.2.1")
    assert known.post(STEP, {"code": code_of(secret)}).status_code == 302
    known.post("/accounts/logout/")
    answers = [guess(half_signed_in(user, f"203.0.113.{n}"), secret, 4) for n in range(7)]
    assert [status for some in answers for status in some] == [200] * 20 + [429] * 8
    refused = half_signed_in(user, "198.51.100.7").post(STEP, {"code": code_of(secret)})
    assert 60 < int(refused["Retry-After"]) <= 3600
    assert guess(half_signed_in(user, "203.0.113.1", known), secret, 1) == [200]


def test_right_codes_are_not_counted(user: User, secret: str):
    codes = RecoveryCodes.activate(user).get_unused_codes()
    assert [half_signed_in(user).post(STEP, {"code": code}).status_code for code in codes[:8]] == [302] * 8


def test_the_guess_that_reaches_the_limit_is_in_the_audit_log_once(user: User, secret: str):
    client = half_signed_in(user)
    guess(client, secret, 4)
    assert not guesses_recorded()
    guess(client, secret, 30)
    (entry,) = guesses_recorded()
    assert (entry.organisation_id, entry.object_id) == (user.memberships.get().organisation_id, user.pk)
    assert entry.details == {"person": user.email, "address": "203.0.113.9"}


def test_a_code_is_refused_while_the_counters_are_away(user: User, secret: str, settings, tmp_path: Path):
    client = half_signed_in(user)
    server = RedisServer(tmp_path)  # never started
    settings.CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": server.url,
            "OPTIONS": connection_options(),
        }
    }
    answer = client.post(STEP, {"code": code_of(secret)})
    assert answer.status_code == 503
    assert "CL-1901" in answer.content.decode()
