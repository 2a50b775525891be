"""Refuses large bodies before they are read: Django would write them to disk first and look at them afterwards.

Everything that the hub takes is small, but for adapter segments and tokenizers of its own workers. Those are let in by
a signature that was not used before, for a part of the worker's own that waits for them, up to the size that the
contract leaves room for. The view checks again what may have changed while the body came.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import Http404, QueryDict

from interface.bodies import App, CountedBody, Receive, Scope, Send, announces_more, refuse
from splitcore.errors import AppError
from webapp.core.errors import http_status
from webapp.fleet.signing import SPENT, call_of, call_spend, signed_call_check
from webapp.fleet.worker_api.bodies import message_from
from webapp.runs.finishing.uploads import segment_limit, tokenizer_limit
from workers.contracts import API_PREFIX, SegmentUpload

_FILE = re.compile(re.escape(API_PREFIX) + r"/runs/([^/]+)/(segments|tokenizer)/([^/]+)")
_LIMITS: dict[str, Callable[..., int]] = {"segments": segment_limit, "tokenizer": tokenizer_limit}


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
    return await sync_to_async(_admit)(scope, *kind.groups())


def _admit(scope: Scope, run_id: str, kind: str, name: str) -> int:
    """The limit of a worker's file, once all is checked that can be before its body; spends the nonce."""
    query = QueryDict(scope.get("query_string", b""))
    call = call_of(scope, method="PUT", body_sha256=query.get("sha256", ""))
    worker = signed_call_check(call=call)
    upload = message_from(SegmentUpload, {key: query[key] for key in query})
    try:
        limit = _LIMITS[kind](worker=worker, run_id=run_id, name=name, upload=upload)
    except Http404 as error:
        raise AppError("CL-1404") from error
    if announces_more(scope, limit):
        raise _too_large(limit)
    call_spend(worker=worker, call=call)
    scope[SPENT] = call.nonce
    return limit


def _too_large(limit: int) -> AppError:
    return AppError("CL-1802", f"The request is larger than {limit} bytes.")


async def _refuse(error: AppError, send: Send) -> None:
    await refuse(http_status(error.code), error.to_dict(), send)
