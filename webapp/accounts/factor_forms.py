"""Forms that take the code of a second factor: wrong ones are counted per person, across sessions and kinds of code.

Whoever gets here has the password or somebody's session already, and six digits are few.
"""

from __future__ import annotations

from allauth.core import context
from allauth.mfa.base.forms import AuthenticateForm, BaseAuthenticateForm, ReauthenticateForm
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from webapp.accounts.devices import known_device
from webapp.accounts.models import User
from webapp.accounts.record import account_record
from webapp.core.throttle import client_address, throttle_return, throttle_take

PER_MINUTE = 5  # for a person from one address
PER_HOUR = 20  # for a person from everywhere; a known browser has a count of its own


class _CountedForm(BaseAuthenticateForm):
    """Takes an attempt before the code is compared, so that guesses made at the same time count too."""

    def clean_code(self) -> str:
        """The code if it is right; beyond the limit CL-1603 (429), whatever the code."""
        request: HttpRequest = context.request
        counts = _counts(request, self.user)
        numbers = [throttle_take(*count) for count in counts]
        try:
            code: str = super().clean_code()
        except ValidationError:
            if any(number == limit for number, (_, _, limit) in zip(numbers, counts, strict=True)):
                details = {"address": client_address(request)}
                account_record(actor=None, user=self.user, action="account.codes_guessed", details=details)
            raise
        for bucket, key, _ in counts:
            throttle_return(bucket, key)
        return code


class CountedAuthenticateForm(_CountedForm, AuthenticateForm):
    """The second step of signing in."""


class CountedReauthenticateForm(_CountedForm, ReauthenticateForm):
    """A code instead of the password, before a change of the account."""


def _counts(request: HttpRequest, user: User) -> list[tuple[str, str, int]]:
    device = known_device(request, user)
    return [
        ("second-factor", f"{device or client_address(request)}:{user.pk}", PER_MINUTE),
        ("second-factor-hour", f"{device or 'others'}:{user.pk}", PER_HOUR),
    ]
