"""Answers that are sent piece by piece.

Under ASGI Django gathers a synchronous iterator (FileResponse's too) into memory before it sends the first byte; an
asynchronous one it sends as it comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import islice
from pathlib import Path

from asgiref.sync import sync_to_async
from django.http import StreamingHttpResponse

_BATCH = 200
_CHUNK_BYTES = 1 << 18


async def in_thread(parts: Iterable[str | bytes], batch: int = _BATCH) -> AsyncIterator[str | bytes]:
    """The parts of a synchronous iterator, taken some at a time in the request's own thread."""
    iterator = iter(parts)
    take = sync_to_async(lambda: list(islice(iterator, batch)))
    while taken := await take():
        for part in taken:
            yield part


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def stream_response(parts: Iterable[str | bytes], *, content_type: str, filename: str) -> StreamingHttpResponse:
    """A download that is made while it is sent."""
    response = StreamingHttpResponse(in_thread(parts), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    return response


def file_response(path: Path, *, content_type: str, filename: str) -> StreamingHttpResponse:
    """A file as a download, a chunk in memory at a time."""
    response = StreamingHttpResponse(in_thread(_chunks(path), batch=1), content_type=content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Content-Length"] = str(path.stat().st_size)
    return response
