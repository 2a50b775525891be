"""What follows a change of somebody's account: an entry in the audit log, and the end of sessions from before."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as account
from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import EmailAddress
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.dispatch import receiver
from django.http import HttpRequest

from webapp.accounts.models import User, password_replaced
from webapp.accounts.record import account_record
from webapp.accounts.services import tokens_revoke_all
from webapp.orgs.selectors import SECOND_FACTORS


@receiver(mfa.authenticator_added)
def factor_added(request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    """This session has just shown the factor; every other one began without it and ends."""
    if authenticator.type not in SECOND_FACTORS:
        return  # the recovery codes that come with it
    record_authentication(request, user, "mfa", id=authenticator.pk, type=authenticator.type)
    for session in UserSession.objects.filter(user_id=user.pk).exclude(session_key=request.session.session_key):
        session.end()
    account_record(actor=user, user=user, action="account.second_factor_added", details={})


@receiver(mfa.authenticator_removed)
def factor_removed(user: User, authenticator: Authenticator, **_: Any) -> None:
    """Note it."""
    if authenticator.type in SECOND_FACTORS:
        account_record(actor=user, user=user, action="account.second_factor_removed", details={})


@receiver(account.email_added)
def address_added(user: User, email_address: EmailAddress, **_: Any) -> None:
    """Note it, and tell the owner at the address that counts until now."""
    account_record(actor=user, user=user, action="account.address_added", details={"address": email_address.email})
    get_adapter().send_notification_mail("account/email/email_added", user, {"added_email": email_address.email})


@receiver(account.email_changed)
def address_changed(
    user: User, from_email_address: EmailAddress | None, to_email_address: EmailAddress, **_: Any
) -> None:
    """Note it; allauth tells the owner at the former address."""
    before = from_email_address.email if from_email_address else ""
    details = {"from": before, "to": to_email_address.email}
    account_record(actor=user, user=user, action="account.address_changed", details=details)


@receiver(account.email_removed)
def address_removed(user: User, email_address: EmailAddress, **_: Any) -> None:
    """Note it."""
    account_record(actor=user, user=user, action="account.address_removed", details={"address": email_address.email})


@receiver([account.password_changed, account.password_reset, account.password_set])
def password_changed(user: User, **_: Any) -> None:
    """Note it."""
    account_record(actor=user, user=user, action="account.password_changed", details={})


@receiver(password_replaced)
def tokens_of_old_password(user: User, **_: Any) -> None:
    """Whoever had the old password may have made an API token."""
    if not user.keeps_tokens:
        tokens_revoke_all(user=user, why="the password was changed")
