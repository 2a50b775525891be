"""The control connection: a signed WebSocket that says hello, beats, and hears the hub's doorbell."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI, WebSocketException

from splitcore.bounds import json_object, plain_line
from workers.contracts import OLDEST_PROTOCOL, SOCKET_PATH, Beat, Hello, Lane, Wake
from workers.hub import Signer
from workers.network import socket_address, tls_context
from workers.versions import message_json

log = logging.getLogger(__name__)
PAUSE_FIRST, PAUSE_MOST = 0.5, 5.0  # seconds between tries while the hub is away
PAUSE_FORBIDDEN = 30.0  # after the hub has turned this worker away
CLOSE_FORBIDDEN = (4401, 4403)
MESSAGE_BYTES = 64 * 1024


class Presence:
    """Keeps the connection up until it is cancelled."""

    def __init__(
        self,
        hub_url: str,
        signer: Signer,
        *,
        beat_seconds: float,
        hello: Callable[[], Hello],
        lanes: Callable[[], list[Lane]],
        on_wake: Callable[[str], None],
        left: Callable[[str, int, bytes], None],
        protocol: Callable[[], int | None],
    ) -> None:
        """Where the hub is, and what it is to be told.

        `protocol` is the newest version that the hub reads, once it is known. `left` is told kind, bytes and
        content of each message that has gone.
        """
        self._url, self._signer, self._beat_seconds = socket_address(hub_url, SOCKET_PATH), signer, beat_seconds
        self._path = "/" + self._url.split("/", 3)[3]
        self._hello, self._lanes, self._on_wake = hello, lanes, on_wake
        self._said, self._left, self._protocol = "", left, protocol
        self.connected = False

    async def run(self) -> None:
        """Connect, talk, connect again."""
        pause = PAUSE_FIRST
        while True:
            code = None
            try:
                code = await self._converse()
                pause = PAUSE_FIRST
            except (OSError, TimeoutError, InvalidHandshake, InvalidURI, WebSocketException) as error:
                log.info("no control connection: %s", type(error).__name__)
            except Exception:  # whatever the hub sends ends neither this nor the agent with its jobs
                log.exception("the control connection failed")
            self.connected = False
            if code in CLOSE_FORBIDDEN:
                self._on_wake("turned away")  # the next look learns why, and stops or holds what runs here
            wait = PAUSE_FORBIDDEN if code in CLOSE_FORBIDDEN else pause
            await asyncio.sleep(wait * random.uniform(0.7, 1.3))  # noqa: S311  # spreads the workers of a hub
            pause = min(pause * 2, PAUSE_MOST)

    async def _converse(self) -> int | None:
        """One connection from its opening to its end; returns the code with which it was closed."""
        secure = tls_context() if self._url.startswith("wss://") else None
        async with connect(
            self._url,
            additional_headers=self._signer.headers("GET", self._path),
            ssl=secure,
            proxy=True,
            compression=None,
            max_size=MESSAGE_BYTES,
            open_timeout=10,
            close_timeout=2,
            ping_interval=20,
            ping_timeout=20,
        ) as connection:
            self._said = ""
            beats = asyncio.create_task(self._beat(connection))
            try:
                self.connected = True
                self._on_wake("connected")
                await self._listen(connection)
            finally:
                beats.cancel()
            return connection.close_code

    async def _listen(self, connection: ClientConnection) -> None:
        try:
            async for text in connection:
                self._take(text)
        except ConnectionClosed:
            return

    def _take(self, text: str | bytes) -> None:
        """A doorbell, or the reason for which the hub turns this worker away. Anything else is ignored."""
        try:
            message = json_object(text)
            if message.get("type") == "wake":
                self._on_wake(Wake.model_validate(message).reason)
            elif message.get("type") == "refused":
                log.warning("the hub refused the connection: %s", plain_line(str(message.get("code"))))
                if message.get("code") == "CL-1406":
                    self._signer.clock.follow(datetime.fromisoformat(message["details"]["hub_time"]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            log.warning("the hub sent a message that isn't part of the protocol")

    async def _send(self, connection: ClientConnection, kind: str, text: str) -> None:
        """Send a message, and count it once it is out."""
        await connection.send(text)
        content = text.encode()
        await asyncio.to_thread(self._left, kind, len(content), content)

    async def _beat(self, connection: ClientConnection) -> None:
        """Hello first and whenever it has changed; then a beat at each interval."""
        try:
            while True:
                # Before the hub has told its version the oldest form will do: what is new follows in the next hello.
                version = self._protocol() or OLDEST_PROTOCOL
                hello = await asyncio.to_thread(self._hello)
                if (said := message_json(hello, version).decode()) != self._said:
                    await self._send(connection, "hello", said)
                    self._said = said
                lanes = await asyncio.to_thread(self._lanes)
                await self._send(connection, "beat", message_json(Beat(lanes=lanes), version).decode())
                await asyncio.sleep(self._beat_seconds)
        except ConnectionClosed:
            return
        except Exception:
            log.exception("the heartbeat could not be built")
            await connection.close()  # a new one begins with a hello: silence would look like a dead worker
