"""Whether a session that opened a socket still stands: a socket outlives the request that the session was read for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest


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
