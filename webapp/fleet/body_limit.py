"""Refuses large bodies before they are read: Django would write them to disk first and look at them afterwards.

Everything that the hub takes is small, but for adapter segments and tokenizers of its own workers. Those are let in by
their signature alone, which is checked here without spending the nonce, and again by the view.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qs

from asgiref.sync import sync_to_async
from django.conf import settings

from interface.bodies import App, CountedBody, Receive, Scope, Send, announces_more, refuse
from splitcore.errors import AppError
from webapp.core.errors import http_status
from webapp.fleet.signing import call_of, signed_call_check
from workers.contracts import API_PREFIX

_FILE = re.compile(re.escape(API_PREFIX) + r"/runs/[^/]+/(segments|tokenizer)/[^/]+")


class BodyLimit:
    """ASGI: answers 413 (or the signature's refusal) and lets nothing through beyond the limit."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        try:
            limit = await _limit_of(scope)
            if announces_more(scope, limit):
                raise _too_large(limit)
        except AppError as error:
            await _refuse(error, send)
            return
        counted = CountedBody(receive, limit)
        await self.app(scope, counted, counted.guard(send))
        if counted.is_over:
            await _refuse(_too_large(limit), send)


async def _limit_of(scope: Scope) -> int:
    kind = _FILE.fullmatch(scope["path"])
    if scope["method"] != "PUT" or kind is None:
        return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    announced = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("sha256", [""])[0]
    await sync_to_async(signed_call_check)(call=call_of(scope, method="PUT", body_sha256=announced))
    return int(settings.ARTEFACT_MAX_BYTES if kind[1] == "segments" else settings.TOKENIZER_MAX_BYTES)


def _too_large(limit: int) -> AppError:
    return AppError("CL-1802", f"The request is larger than {limit} bytes.")


async def _refuse(error: AppError, send: Send) -> None:
    await refuse(http_status(error.code), error.to_dict(), send)
