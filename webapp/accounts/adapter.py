"""How sign-in behaves here: guesses are throttled with a 429, an invitation is not lost on the way, mails link home."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from allauth.account.adapter import DefaultAccountAdapter
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from webapp.accounts.devices import device_remember, known_device
from webapp.accounts.models import User
from webapp.core.throttle import client_address, throttle_clear, throttle_return, throttle_take
from webapp.orgs.models import Invitation

PER_ADDRESS_AND_ACCOUNT = 5  # a minute
PER_ADDRESS = 30  # a minute, whatever the account: one network may hold many people
PER_ACCOUNT = 30  # a minute, whatever the address: beyond it, known browsers alone


class AccountAdapter(DefaultAccountAdapter):
    """allauth's behaviour with a few differences."""

    error_messages: ClassVar[dict[str, Any]] = {
        **DefaultAccountAdapter.error_messages,
        "account_inactive": "This account is switched off.",
        "cannot_remove_primary_email": "The primary address can't be removed. Make another one primary first.",
        "duplicate_email": "Your account already has this address.",
        "email_password_mismatch": "The e-mail address or password is incorrect.",
        "email_taken": "Another account has this address.",
        "enter_current_password": "This isn't your current password.",
        "incorrect_code": "This code is incorrect. The app shows a new one every 30 seconds.",
        "incorrect_password": "This password is incorrect.",
        "max_email_addresses": "An account can have at most %d addresses.",
        "rate_limited": "Too many attempts. Wait a few minutes, then try again.",
        "too_many_login_attempts": "Too many attempts. Wait a few minutes, then try again.",
        "unknown_email": "No account has this address.",
    }

    def pre_authenticate(self, request: HttpRequest, **credentials: Any) -> None:
        """Count the attempt; beyond the limit answer CL-1603 (429) instead of an error in the form."""
        self._taken: list[tuple[str, str]] = []
        for bucket, key, limit in _counts(request, _login_of(credentials)):
            throttle_take(bucket, key, limit)
            self._taken.append((bucket, key))

    def _rollback_login_failed_rl_usage(self) -> None:
        for bucket, key in self._taken:
            throttle_return(bucket, key)

    def _delete_login_attempts_cached_email(self, request: HttpRequest, **credentials: Any) -> None:
        """After a reset of the password: what was tried on the account before does not stand in its way."""
        for bucket, key, _ in _counts(request, _login_of(credentials)):
            if bucket != "password-address":
                throttle_clear(bucket, key)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """After every step of signing in: this browser is known from now on."""
        response: HttpResponse = super().post_login(request, user, **kwargs)
        device_remember(request, response, user)
        return response

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Back to the invitation that led here, else the home page."""
        return _waiting_invitation(request) or str(super().get_login_redirect_url(request))

    def get_signup_redirect_url(self, request: HttpRequest) -> str:
        """As after signing in."""
        return _waiting_invitation(request) or str(super().get_signup_redirect_url(request))

    def get_reset_password_from_key_url(self, key: str) -> str:
        """The link of the mail that resets a password; `UserTokenForm` takes it apart."""
        return str(super().get_reset_password_from_key_url(key.removeprefix(f"{User.id_prefix}_")))

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """A notice of a change; it names the person, who need not be signed in when a password is reset."""
        super().send_notification_mail(template_prefix, user, {"user": user, **(context or {})}, email)

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Mails lead to the hub's own address: what a request calls the hub is its sender's word."""
        site = SimpleNamespace(name=settings.SITE_NAME, domain=urlsplit(settings.BASE_URL).netloc)
        links = {name: _at_home(value) for name, value in context.items() if name.endswith("_url")}
        super().send_mail(template_prefix, email, {**context, **links, "current_site": site})


def _at_home(url: str) -> str:
    """The same page below BASE_URL."""
    return settings.BASE_URL.rstrip("/") + urlsplit(url)._replace(scheme="", netloc="").geturl()


def _login_of(credentials: dict[str, Any]) -> str:
    return str(credentials.get("email") or credentials.get("username") or "").strip().lower()[:254]


def _counts(request: HttpRequest, login: str) -> list[tuple[str, str, int]]:
    """Where an attempt counts, with the limit: a known browser has a count of its own that nobody else can fill."""
    user = User.objects.filter(emailaddress__email__iexact=login).first()  # type: ignore[misc]
    account = user.pk if user is not None else login
    device = known_device(request, user)
    if device:
        return [("password", f"{device}:{account}", PER_ADDRESS_AND_ACCOUNT)]
    address = client_address(request)
    return [
        ("password", f"{address}:{account}", PER_ADDRESS_AND_ACCOUNT),
        ("password-address", address, PER_ADDRESS),
        ("password-account", account, PER_ACCOUNT),
    ]


def _waiting_invitation(request: HttpRequest) -> str:
    """The page of the open invitation whose link this browser has opened, if any."""
    invitation = Invitation.objects.filter(pk=request.session.get("invitation_id", "")).first()
    return f"/invite/{invitation.pk}" if invitation is not None and invitation.is_open else ""
