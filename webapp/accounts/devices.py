"""Browsers in which a person has signed in before: wrong passwords that others try do not lock them out.

A signed cookie names the browser and, for each account that has signed in there, a piece of the hash of its password.
It opens nothing: it only gives the browser a count of failures of its own. A new password makes every browser unknown.
"""

from __future__ import annotations

import secrets
from typing import Any

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponseBase

from webapp.accounts.models import User

_SALT = "webapp.accounts.devices"
_MAX_AGE_SECONDS = 365 * 24 * 3600
_MOST_ACCOUNTS = 5


def known_device(request: HttpRequest, user: User | None) -> str:
    """The name of the browser if the person has signed in with it before; else the empty text."""
    stored = _read(request)
    if user is None or not secrets.compare_digest(str(stored["accounts"].get(user.pk, "")), _mark(user)):
        return ""
    return str(stored["name"])


def device_remember(request: HttpRequest, response: HttpResponseBase, user: User) -> None:
    """Let the browser be known to the account from now on."""
    stored = _read(request)
    others = [(pk, mark) for pk, mark in stored["accounts"].items() if pk != user.pk]
    stored["accounts"] = dict([*others, (user.pk, _mark(user))][-_MOST_ACCOUNTS:])
    response.set_cookie(
        settings.DEVICE_COOKIE_NAME,
        signing.dumps(stored, salt=_SALT),
        max_age=_MAX_AGE_SECONDS,
        path="/accounts/",
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )


def _read(request: HttpRequest) -> dict[str, Any]:
    try:
        stored = signing.loads(
            request.COOKIES.get(settings.DEVICE_COOKIE_NAME, ""), salt=_SALT, max_age=_MAX_AGE_SECONDS
        )
    except signing.BadSignature:
        stored = {"name": secrets.token_hex(8), "accounts": {}}
    return dict(stored)


def _mark(user: User) -> str:
    return user.get_session_auth_hash()[:16]
