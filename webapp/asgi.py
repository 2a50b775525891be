"""ASGI entry: HTTP by Django, sockets by Channels, foreign origins refused."""

from __future__ import annotations

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webapp.settings.local")
http = get_asgi_application()

from webapp.core.origins import OwnOrigins  # noqa: E402
from webapp.core.socket_cookies import with_person  # noqa: E402
from webapp.fleet.body_limit import BodyLimit  # noqa: E402
from webapp.fleet.consumers import FleetConsumer, WorkerConsumer  # noqa: E402
from webapp.telemetry.consumers import RunConsumer  # noqa: E402

browser_routes = [
    path("ws/runs/<str:run_id>/", RunConsumer.as_asgi()),
    path("ws/fleet/", FleetConsumer.as_asgi()),
]
# A worker is no browser: it sends no Origin and no cookie, and signs its opening request instead.
worker_routes = [path("ws/worker/", WorkerConsumer.as_asgi())]


async def refuse(scope, receive, send):  # type: ignore[no-untyped-def]
    """Close an unknown socket with the code for "not found"."""
    await receive()
    await send({"type": "websocket.close", "code": 4404})


class Sockets:
    """Workers' sockets first; all others pass the Origin check and the session."""

    def __init__(self) -> None:
        self.worker = URLRouter(worker_routes)
        self.browser = OwnOrigins(with_person(URLRouter([*browser_routes, path("<path:rest>", refuse)])))

    async def __call__(self, scope, receive, send):  # type: ignore[no-untyped-def]
        """Choose by the path."""
        inner = self.worker if scope["path"].startswith("/ws/worker/") else self.browser
        return await inner(scope, receive, send)


application = ProtocolTypeRouter({"http": BodyLimit(http), "websocket": Sockets()})
