"""Sockets of the fleet: a worker's control connection, and the browsers that watch an organisation's workers."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections import Counter
from datetime import datetime
from typing import Any, ClassVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError
from pydantic import ValidationError

from splitcore.errors import AppError
from webapp.accounts.sessions import by_password_alone, socket_is_signed_in
from webapp.core.errors import http_status
from webapp.core.live import LOOK_SECONDS, group_enter, group_leave, organisation_group, worker_group
from webapp.fleet.models import Worker
from webapp.fleet.presence import message_take, worker_connected, worker_disconnected
from webapp.fleet.protocol import spoken_check
from webapp.fleet.selectors import watched_organisation_id, worker_may_connect
from webapp.fleet.services import worker_copied
from webapp.fleet.signing import ENROLLED, call_of, reads_of, signed_call_verify
from webapp.fleet.worker_api.bodies import refusal
from workers.contracts import Beat, Hello, Wake

logger = logging.getLogger(__name__)
CLOSE_MALFORMED = 4400
CLOSE_UNKNOWN = 4401
CLOSE_FORBIDDEN = 4403
CLOSE_TOO_BIG = 1009
CLOSE_TRY_LATER = 1013
OTHER_VERSION = "CL-1407"  # the worker is to look why, and to wait before it comes again
# A worker opens a connection only when its last one is gone. What was sent on that one, a hello and a beat, may still
# arrive; this many messages on it, after the next one was opened, come from a second process with the same key.
COPY_MESSAGES = 3
# A worker has one connection; those that a bad line has cut stay open here for up to 40 s. Each takes its turn at the
# database with everybody else.
CONNECTIONS = 32
_NO_BODY = hashlib.sha256(b"").hexdigest()


class WorkerConsumer(AsyncWebsocketConsumer):
    """The control connection that a worker keeps open: hello and beats come in, doorbells go out.

    It lasts as long as the key that opened it: `worker` has that key's fingerprint, whatever the row has by now.
    """

    worker: Worker
    connection: datetime | None = None
    overtaken = 0  # messages that came in after another connection of this worker was opened
    open_now: ClassVar[Counter[str]] = Counter()  # of each worker, in this process
    counted = ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        """Whatever ends the connection, it no longer counts."""
        try:
            return await super().__call__(scope, receive, send)
        finally:
            if self.counted:
                self.open_now.subtract((self.counted,))
                if not self.open_now[self.counted]:
                    del self.open_now[self.counted]

    async def connect(self) -> None:
        """Accept a signed opening of an enrolled worker; tell all others why not."""
        try:
            self.worker = await database_sync_to_async(signed_call_verify)(
                call=call_of(self.scope, method="GET", body_sha256=_NO_BODY), states=ENROLLED
            )
        except AppError as error:
            await self.accept()
            await self._refuse(error)
            return
        if self.open_now[self.worker.id] >= CONNECTIONS:
            await self.close(code=CLOSE_TRY_LATER)
            return
        self.counted = self.worker.id
        self.open_now[self.counted] += 1
        if not await group_enter(self, worker_group(self.worker.id)):
            await self.close(code=CLOSE_TRY_LATER)
            return
        await self.accept()
        # A revocation or a new key between the check and the group's entry would otherwise be missed.
        self.connection = await database_sync_to_async(worker_connected)(
            worker=self.worker, protocol=reads_of(self.scope)
        )
        if self.connection is None:
            await self.close(code=CLOSE_FORBIDDEN)

    async def _refuse(self, error: AppError, *, malformed: bool = False) -> None:
        await self.send(text_data=json.dumps({"type": "refused", **error.to_dict()}))
        if malformed:
            await self.close(code=CLOSE_MALFORMED)
            return
        forbidden = http_status(error.code) == 403
        await self.close(code=CLOSE_FORBIDDEN if forbidden else CLOSE_UNKNOWN)

    async def disconnect(self, code: int) -> None:
        """Note that the worker is gone."""
        if self.connection is not None:
            await group_leave(self, worker_group(self.worker.id))
            await database_sync_to_async(worker_disconnected)(worker=self.worker, connection=self.connection)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take a hello or a beat; anything else ends the connection."""
        if text_data is None:
            await self.close(code=CLOSE_MALFORMED)
        elif len(text_data) > settings.WORKER_BODY_MAX_BYTES:
            await self.close(code=CLOSE_TOO_BIG)
        else:
            try:
                await self._take(text_data)
            except AppError as error:
                await self._refuse(error, malformed=error.code != OTHER_VERSION)

    async def _take(self, text: str) -> None:
        standing = await database_sync_to_async(message_take)(
            worker=self.worker, connection=self.connection, message=message_parse(text)
        )
        if standing is None:
            await self.close(code=CLOSE_FORBIDDEN)
            return
        self.connection = standing.connection
        if standing.overtaken:
            await self._overtaken()

    async def _overtaken(self) -> None:
        self.overtaken += 1
        if self.overtaken >= COPY_MESSAGES:
            self.overtaken = 0
            await database_sync_to_async(worker_copied)(worker=self.worker)

    async def worker_wake(self, event: dict[str, Any]) -> None:
        """Ring the worker's bell, as long as the key that opened the connection is the worker's."""
        if not await database_sync_to_async(worker_may_connect)(self.worker):
            await self.close(code=CLOSE_FORBIDDEN)
            return
        await self.send(text_data=Wake(reason=str(event.get("reason", ""))[:120]).model_dump_json())

    async def worker_close(self, event: dict[str, Any]) -> None:
        """Revoked, quarantined or left; or another key came into force than the one that opened this connection."""
        if event.get("spared") != self.worker.fingerprint:
            await self.close(code=int(event.get("code", CLOSE_FORBIDDEN)))


def message_parse(text: str) -> Hello | Beat:
    """A worker's message; CL-1415 for anything that is neither hello nor beat, CL-1407 for one of another version."""
    try:
        message = json.loads(text)
        kind, spoken = message.get("type"), message.get("protocol")
        if kind != "hello":
            return Beat.model_validate_json(text)
        if type(spoken) is int:
            spoken_check(spoken)
        return Hello.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise AppError("CL-1415") from error


class FleetConsumer(AsyncWebsocketConsumer):
    """Tells an organisation's members that one of its workers, datasets or runs changed; the page then asks again."""

    organisation_id: str | None = None
    guard: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Join the group of the organisation that the person acts for."""
        await self.accept()
        user = self.scope.get("user")
        if user is None or not user.is_authenticated:
            await self.close(code=CLOSE_UNKNOWN)
            return
        self.organisation_id = await self._watched()
        if self.organisation_id is None:
            await self.close(code=CLOSE_FORBIDDEN)
            return
        # Without its doorbells the page stays as it is until it is loaded again; better that it connects again.
        if not await group_enter(self, organisation_group(self.organisation_id)):
            await self.close(code=CLOSE_TRY_LATER)
            return
        self.guard = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Look every LOOK_SECONDS, whatever rings; a look that fails closes too, and the page connects again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                code = await self._reason_to_close()
            except DatabaseError:
                logger.warning("a browser's socket is closed: the database does not answer", exc_info=True)
                code = CLOSE_TRY_LATER
            if code:
                await self.close(code=code)
                return

    async def _reason_to_close(self) -> int:
        """The close code for a person who signed out or may no longer act for the organisation; else 0."""
        if not await socket_is_signed_in(self.scope, self.scope["user"].pk):
            return CLOSE_UNKNOWN
        return CLOSE_FORBIDDEN if await self._watched() is None else 0

    async def _watched(self) -> str | None:
        session = self.scope.get("session") or {}
        return await database_sync_to_async(watched_organisation_id)(
            user_id=self.scope["user"].pk,
            by_password=by_password_alone(session),
            chosen=self.organisation_id or session.get("organisation_id", ""),
            fixed=self.organisation_id is not None,
        )

    async def disconnect(self, code: int) -> None:
        """Leave the group."""
        if self.guard is not None:
            self.guard.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.guard
        if self.organisation_id is not None:
            await group_leave(self, organisation_group(self.organisation_id))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """The page has nothing to say here."""

    async def org_changed(self, event: dict[str, Any]) -> None:
        """Pass on what changed, as long as the person is a member."""
        if await self._watched() is None:
            await self.close(code=CLOSE_FORBIDDEN)
            return
        await self.send(text_data=json.dumps({"type": "changed", "what": event["what"], "id": event["id"]}))
