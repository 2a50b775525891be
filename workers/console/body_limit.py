"""Bounds every body that the console takes, before Django holds it and before anybody is known by it."""

from __future__ import annotations

import re

from interface.bodies import App, CountedBody, Receive, Scope, Send, announces_more, refuse
from splitcore.errors import AppError
from workers.data.uploads import CHUNK_BYTES

FORM_BYTES = 256 * 1024
_CHUNK = re.compile(r"/uploads/[0-9a-f]{16}")


class BodyLimit:
    """ASGI: answers 413 (CL-1803) to what is larger than a form, or than one part of a file where parts arrive."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        is_part = scope["method"] == "PUT" and _CHUNK.fullmatch(scope["path"]) is not None
        limit = CHUNK_BYTES if is_part else FORM_BYTES
        too_large = AppError("CL-1803", f"The request is larger than {limit} bytes.").to_dict()
        if announces_more(scope, limit):
            await refuse(413, too_large, send)
            return
        counted = CountedBody(receive, limit)
        await self.app(scope, counted, counted.guard(send))
        if counted.is_over:
            await refuse(413, too_large, send)
