"""Opens the hub's sockets in tests, as a worker or as a signed-in browser, through the whole ASGI application."""

from __future__ import annotations

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.test import Client

from webapp.accounts.models import User
from webapp.asgi import application
from webapp.fleet.tests.factories import SigningWorker
from workers.contracts import SOCKET_PATH

ORIGIN = (b"origin", b"http://testserver")


class Socket(ApplicationCommunicator):
    """One WebSocket of the hub's ASGI application."""

    def __init__(self, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        super().__init__(application, scope)

    async def connect(self, timeout: float = 3) -> bool:
        """Open; whether the hub accepted."""
        await self.send_input({"type": "websocket.connect"})
        event = await self.receive_output(timeout)
        return event["type"] == "websocket.accept"

    async def send_to(self, text: str) -> None:
        """Send a text message."""
        await self.send_input({"type": "websocket.receive", "text": text})

    async def receive_from(self, timeout: float = 3) -> str:
        """The next text message."""
        event = await self.receive_output(timeout)
        assert event["type"] == "websocket.send", event
        return str(event["text"])

    async def disconnect(self) -> None:
        """Leave, and wait until the hub is done with it."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(3)


def worker_socket(worker: SigningWorker, headers: dict[str, str] | None = None) -> Socket:
    """A worker's control socket, not yet opened."""
    signed = headers or worker.headers("GET", SOCKET_PATH)
    pairs = [(name.lower().encode(), value.encode()) for name, value in signed.items()]
    return Socket(SOCKET_PATH, pairs)


async def browser_socket(path: str, user: User | None, origin: tuple[bytes, bytes] | None = ORIGIN) -> Socket:
    """A browser's socket with the session cookie of `user`, not yet opened."""
    headers = [(b"host", b"testserver")] + ([origin] if origin else [])
    if user is not None:
        client = Client()
        await sync_to_async(client.force_login)(user, backend="django.contrib.auth.backends.ModelBackend")
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        headers.append((b"cookie", cookie.encode()))
    return Socket(path, headers)


async def close_code(socket: Socket, timeout: float = 3) -> int:
    """The code with which the hub closes, whatever it sends before."""
    while True:
        event = await socket.receive_output(timeout)
        if event["type"] == "websocket.close":
            return int(event["code"])
