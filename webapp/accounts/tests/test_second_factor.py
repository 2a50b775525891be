"""Second factors as the database keeps them."""

from __future__ import annotations

import json
from base64 import b32encode
from importlib import import_module

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
from django.apps import apps
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


def test_under_another_secret_key_every_code_is_a_wrong_one():
    user, secret = member(OrganisationFactory()), generate_totp_secret()
    with override_settings(SECRET_KEY="a lost key"):
        TOTP.activate(user, secret)
        codes = RecoveryCodes.activate(user).get_unused_codes()
    factor = TOTP(Authenticator.objects.get(user=user, type="totp"))
    assert not factor.validate_code(code_of(secret))
    assert not factor.validate_code(code_of(b32encode(b"").decode())), "nor is there a seed that anybody could guess"
    assert not RecoveryCodes(Authenticator.objects.get(user=user, type="recovery_codes")).validate_code(codes[0])


def test_a_migration_encrypts_the_seeds_of_an_older_version():
    user, secret = member(OrganisationFactory()), generate_totp_secret()
    Authenticator.objects.create(user=user, type="totp", data={"secret": secret})
    Authenticator.objects.create(user=user, type="recovery_codes", data={"seed": "5eed", "used_mask": 4})
    import_module("webapp.accounts.migrations.0003_encrypt_seeds").encrypt_seeds(apps, None)
    kept = {row.type: row.data for row in Authenticator.objects.all()}
    assert secret not in str(kept)
    assert "5eed" not in str(kept)
    assert kept["recovery_codes"]["used_mask"] == 4
    assert TOTP(Authenticator.objects.get(type="totp")).validate_code(code_of(secret))
