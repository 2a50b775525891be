"""Second factors as the database keeps them."""

from __future__ import annotations

import json

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (
    TOTP,
    format_hotp_value,
    generate_totp_secret,
    hotp_value,
    yield_hotp_counters_from_time,
)
from django.test import override_settings

from webapp.orgs.tests.factories import OrganisationFactory, member

pytestmark = pytest.mark.django_db


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, next(yield_hotp_counters_from_time())))


@pytest.mark.promise(40)
def test_no_seed_of_a_second_factor_stands_in_the_database():
    user, secret = member(OrganisationFactory()), generate_totp_secret()
    TOTP.activate(user, secret)
    codes = RecoveryCodes.activate(user)
    kept = json.dumps(list(Authenticator.objects.values_list("data", flat=True)))
    assert secret not in kept
    assert all(code not in kept for code in codes.get_unused_codes())
    assert TOTP(Authenticator.objects.get(type="totp")).validate_code(code_of(secret))


def test_a_seed_from_before_encryption_and_one_under_the_former_key_still_work():
    secret = generate_totp_secret()
    plain = Authenticator.objects.create(user=member(OrganisationFactory()), type="totp", data={"secret": secret})
    assert TOTP(plain).validate_code(code_of(secret))
    user = member(OrganisationFactory())
    with override_settings(SECRET_KEY="the former key"):
        TOTP.activate(user, secret)
    with override_settings(SECRET_KEY="the new key", SECRET_KEY_FALLBACKS=["the former key"]):
        assert TOTP(Authenticator.objects.get(user=user)).validate_code(code_of(secret))
