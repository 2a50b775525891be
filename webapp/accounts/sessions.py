"""What a session tells of its person: whether it still stands, and how and when they have signed in.

A socket outlives the request that the session was read for.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from allauth.account import app_settings
from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from webapp.accounts.models import User


def session_stands(*, session_key: str, user_id: str) -> bool:
    """Whether the session exists, has not expired and still signs the same person in.

    It no longer does after signing out, after another device ended it, and after a new password (its hash differs).
    """
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    user = get_user(request)
    return user.is_authenticated and user.pk == user_id


async def socket_is_signed_in(scope: dict[str, Any], user_id: str) -> bool:
    """Whether the session with which a browser opened a socket still stands."""
    session = scope.get("session")
    key = session.session_key if session is not None else None
    if not key:
        return False
    # Looks of many pages go side by side; they need not wait for one another in the one thread of the writes.
    look = database_sync_to_async(session_stands, thread_sensitive=False)
    return bool(await look(session_key=key, user_id=user_id))


def by_password_alone(session: Mapping[str, Any] | None) -> bool:
    """Whether no second factor was given in this session, whatever the account has by now."""
    records = (session or {}).get(AUTHENTICATION_METHODS_SESSION_KEY)
    return not any(record.get("method") == "mfa" for record in records or [])


def signed_in_recently(request: HttpRequest) -> bool:
    """Whether the person has proved who they are within the last minutes: by signing in, or again since."""
    records = get_authentication_records(request, request.user)
    return any(time.time() - record["at"] < app_settings.REAUTHENTICATION_TIMEOUT for record in records)


def person_of_session(*, user_id: str, by_password: bool) -> User | None:
    """The active person as the database has them now, with how their session began: selectors look at it."""
    user = User.objects.filter(pk=user_id, is_active=True).first()
    if user is not None:
        user.by_password_alone = by_password  # type: ignore[attr-defined]
    return user
