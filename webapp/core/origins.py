"""Sockets of browsers: taken from the hub's own pages alone.

An origin is a scheme, a host and a port. A page of another port of this host is somebody else's, and a browser sends
the session's cookie from there too, since cookies have no port.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host

Origin = tuple[str, str, int]  # scheme, host, port
_PORTS = {"http": 80, "https": 443}
_LOCAL = ["localhost", "127.0.0.1", "[::1]"]


def origin_of(text: str) -> Origin | None:
    """An address's origin; None for what is none, such as `null`, a path or a name before an @."""
    try:
        parts = urlsplit(text)
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in _PORTS or not parts.hostname or not bare:
        return None
    return parts.scheme, parts.hostname, port


def own_origins(scheme: str, host: str) -> set[Origin]:
    """The hub's own: its public address, those that the settings trust, and the one under which it was asked."""
    named = [settings.BASE_URL, *settings.CSRF_TRUSTED_ORIGINS]
    allowed = settings.ALLOWED_HOSTS or (_LOCAL if settings.DEBUG else [])
    if validate_host(split_domain_port(host)[0], allowed):
        named.append(f"{scheme}://{host}")
    return {origin for origin in map(origin_of, named) if origin is not None}


def is_own(scope: Mapping[str, Any]) -> bool:
    """Whether a socket's opening request comes from one of the hub's own pages."""
    headers: dict[str, list[str]] = {}
    for name, value in scope.get("headers", []):
        headers.setdefault(name.decode("latin1").lower(), []).append(value.decode("latin1"))
    origins, hosts = headers.get("origin", []), headers.get("host", [])
    asked = origin_of(origins[0]) if len(origins) == 1 else None
    if asked is None or len(hosts) > 1:
        return False
    return asked in own_origins(_scheme(scope, headers), "".join(hosts))


def _scheme(scope: Mapping[str, Any], headers: Mapping[str, list[str]]) -> str:
    """The scheme as Django's pages see it: by the proxy's header where the settings name one."""
    secure = scope.get("scheme") == "wss"
    if proxy := getattr(settings, "SECURE_PROXY_SSL_HEADER", None):
        told = headers.get(proxy[0].removeprefix("HTTP_").replace("_", "-").lower(), [])
        secure = told[0].split(",")[0].strip() == proxy[1] if told else secure
    return "https" if secure else "http"


class OwnOrigins:
    """Lets a socket in from the hub's own pages, and denies it to every other one."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Choose by the Origin header."""
        door = self.inner if is_own(scope) else WebsocketDenier()
        return await door(scope, receive, send)
