"""The session of a browser's socket, before which none of Django's middleware stands to refuse what cannot be read."""

from __future__ import annotations

from typing import Any

from channels.auth import AuthMiddleware
from channels.sessions import CookieMiddleware, SessionMiddleware
from django.conf import settings

from splitcore.bounds import is_plain


class PlainSessions:
    """Takes a session cookie away that no database can look up (PostgreSQL takes no NUL): its sender is a stranger."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Pass on the cookies that can be read."""
        name = settings.SESSION_COOKIE_NAME
        cookies = {key: value for key, value in scope["cookies"].items() if key != name or is_plain(value)}
        return await self.inner({**scope, "cookies": cookies}, receive, send)


def with_person(inner: Any) -> Any:
    """The application with its caller's session and person in the scope."""
    return CookieMiddleware(PlainSessions(SessionMiddleware(AuthMiddleware(inner))))
