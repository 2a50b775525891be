"""The live feed of a run's page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import Any

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from splitcore.bounds import COUNT_MAX
from webapp.accounts.sessions import by_password_alone, socket_is_signed_in
from webapp.core.converters import is_public_id
from webapp.core.live import LOOK_SECONDS, group_enter, group_leave, run_group
from webapp.runs.live.feed import delta_for, message_of

CLOSE_SIGNED_OUT = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_NOT_FOUND = 4404
FRAME_SECONDS = 0.25  # at most four messages a second
BEAT_SECONDS = 15.0
_MESSAGE_MAX_CHARACTERS = 1000


class RunConsumer(AsyncWebsocketConsumer):
    """Sends a run's records in order, from the number that the page names; asks for permission at each step."""

    since: int | None = None
    pump: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Accept; close with the code that tells why when the person may not see the run."""
        self.run_id: str = self.scope["url_route"]["kwargs"]["run_id"]
        self.bell = asyncio.Event()
        self.last_state = ""
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(code=CLOSE_SIGNED_OUT)
            return
        self.user_id: str = user.pk
        if not is_public_id(self.run_id) or await self._delta(since=0, limit=1) is None:
            await self.close(code=CLOSE_NOT_FOUND)
            return
        await group_enter(self, run_group(self.run_id))  # without doorbells the feed looks every few seconds
        self.pump = asyncio.create_task(self._feed())

    async def disconnect(self, code: int) -> None:
        """Stop feeding."""
        if self.pump is not None:
            await group_leave(self, run_group(self.run_id))
            self.pump.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.pump

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """`{"type": "since", "since": N}`: the page has everything up to N."""
        try:
            message = json.loads((text_data or "")[:_MESSAGE_MAX_CHARACTERS])
            since = int(message["since"]) if message.get("type") == "since" else None
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
            return
        if since is not None:
            self.since, self.last_state = min(max(0, since), COUNT_MAX), ""
            self.bell.set()

    async def run_changed(self, event: dict[str, Any]) -> None:
        """A doorbell: there is something new."""
        self.bell.set()

    async def _delta(self, *, since: int, limit: int = 500) -> dict[str, Any] | None:
        # Reads of many pages go side by side; they need not wait for one another in the one thread of the writes.
        return await database_sync_to_async(delta_for, thread_sensitive=False)(
            user_id=self.user_id,
            by_password=by_password_alone(self.scope.get("session")),
            run_id=self.run_id,
            since=since,
            limit=limit,
        )

    async def _feed(self) -> None:
        beat_at = time.monotonic() + BEAT_SECONDS
        look_at = time.monotonic() + LOOK_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.bell.wait(), max(0.0, look_at - time.monotonic()))
            self.bell.clear()
            # By the clock, not by the silence of the bell: the page of a busy run is looked at no less often.
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_SECONDS
                if not await socket_is_signed_in(self.scope, self.user_id):
                    await self.close(code=CLOSE_SIGNED_OUT)
                    return
            if not await self._step():
                return
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + BEAT_SECONDS
                await self.send(text_data='{"type": "beat"}')
            await asyncio.sleep(FRAME_SECONDS)

    async def _step(self) -> bool:
        """Send what is new, if anything; False when the feed is over."""
        delta = await self._delta(since=self.since or 0, limit=500 if self.since is not None else 1)
        if delta is None:
            await self.close(code=CLOSE_FORBIDDEN)
            return False
        if self.since is None:  # the page has not said yet what it has
            return True
        state = json.dumps([delta["run"], delta["lanes"]])
        if delta["records"] or delta["seq"] != self.since or state != self.last_state:
            self.last_state = state
            await self.send(text_data=json.dumps(message_of(delta)))
        # A page that asks again meanwhile wins over where this step got to.
        if delta["from"] == self.since:
            self.since = delta["seq"]
        if delta["seq"] < delta["last"]:
            self.bell.set()
        if delta["ended"]:
            await self.send(text_data='{"type": "ended"}')
            return False
        return True
