"""Counts a request's body as it comes, for the ASGI applications of hub and console. No Django.

Django writes a large body to disk before it looks at anything. What is too large must end before that.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[..., Awaitable[None]]


class CountedBody:
    """Passes a body on up to the limit. Past it the application sees a client that went away."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self.receive, self.limit, self.seen, self.is_over = receive, limit, 0, False

    async def __call__(self) -> Message:
        """The next part of the body."""
        message = await self.receive()
        self.seen += len(message.get("body", b""))
        if self.seen > self.limit:
            self.is_over = True
            return {"type": "http.disconnect"}
        return message

    def guard(self, send: Send) -> Send:
        """The application's answer, unless the limit's own is due."""

        async def guarded(message: Message) -> None:
            if not self.is_over:
                await send(message)

        return guarded


def announces_more(scope: Scope, limit: int) -> bool:
    """Whether the request says beforehand that its body is larger than the limit."""
    return any(
        name.lower() == b"content-length" and value.isdigit() and int(value[:20]) > limit
        for name, value in scope["headers"]
    )


async def refuse(status: int, error: dict[str, Any], send: Send) -> None:
    """Answer with an error's dictionary and close the connection: the rest of the body isn't read."""
    body = json.dumps(error).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
