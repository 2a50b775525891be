"""Every HTTP request of a worker to its hub, counted as it is written: head and body, byte for byte before TLS."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx

from workers.contracts import API_PREFIX
from workers.ledger.book import Book

OTHER = "other"
Take = Callable[[str, str, int], None]  # run, kind, bytes
_RUN = re.compile(r"/runs/([A-Za-z0-9_\-]{1,120})/([a-z]+)")
_PLACES = frozenset({"assignments", "datasets", "models", "rotate", "leave", "enrol", "witness"})
_IN_RUN = frozenset({"telemetry", "ready", "segments", "tokenizer", "verified", "exit", "claim", "verdict"})


def place_of(method: str, path: str) -> tuple[str, str]:
    """Run ("" for none) and kind of a request, by its path."""
    below = path.split(API_PREFIX, 1)[-1]
    if (found := _RUN.match(below)) is not None and found[2] in _IN_RUN:
        return found[1], found[2]
    first = below.strip("/").split("/", 1)[0]
    if first in _PLACES and path.find(API_PREFIX) >= 0:
        return "", first
    return "", "download" if method == "GET" else OTHER


class RequestCounter:
    """A hook for httpx: it watches each request go out, and writes it into the book once it has.

    When there is a connection and the first byte is about to leave, `take` is asked for all of them: it raises AppError
    CL-1429 where the run's budget forbids the request. A hub that is away costs nothing of the budget.
    """

    def __init__(self, book: Book, take: Take | None = None) -> None:
        self._book, self._take = book, take

    def __call__(self, request: httpx.Request) -> None:
        """Watch a request that is about to be sent."""
        counted = _Counted(request.stream)
        request.stream = counted
        request.extensions = {**request.extensions, "trace": _Watch(request, counted, self._book, self._take)}


class _Counted(httpx.SyncByteStream):
    """A body; a chunk is counted when it is handed on: of one that broke off, an unknown part has left."""

    def __init__(self, body: Any) -> None:
        self._body: Iterable[bytes] = body
        self.nbytes = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._body:
            self.nbytes += len(chunk)
            yield chunk


class _Watch:
    """What httpcore tells while it sends. A tunnel through a proxy is no message to the hub."""

    def __init__(self, request: httpx.Request, body: _Counted, book: Book, take: Take | None) -> None:
        self._request, self._body, self._book, self._take = request, body, book, take
        self._head = head_of(request)
        self._run_id, self._kind = place_of(request.method, request.url.path)
        self._tunnel, self._head_is_out = False, False

    def __call__(self, name: str, info: dict[str, Any]) -> None:
        """An event of the connection."""
        event = name.rsplit(".", 2)[-2:]
        if event == ["send_request_headers", "started"]:
            self._tunnel = info["request"].method == b"CONNECT"
            if not self._tunnel and self._take is not None:
                body = int(self._request.headers.get("Content-Length", 0))
                self._take(self._run_id, self._kind, len(self._head) + body)
        elif self._tunnel:
            return
        elif event == ["send_request_headers", "complete"]:
            self._head_is_out = True
        elif event[0] == "send_request_body" and event[1] != "started" and self._head_is_out:
            self._head_is_out = False
            self._book.add(self._kind, len(self._head) + self._body.nbytes, self._head, run_id=self._run_id)


def head_of(request: httpx.Request) -> bytes:
    """The request's head as HTTP/1.1 writes it."""
    lines = [f"{request.method} ".encode() + request.url.raw_path + b" HTTP/1.1"]
    lines += [name + b": " + value for name, value in request.headers.raw]
    return b"\r\n".join([*lines, b"", b""])


def hooks(book: Book | None, take: Take | None = None) -> dict[str, list[Callable[..., Any]]]:
    """The hooks of a client that counts into `book`, and asks `take` before it sends; none without a book."""
    return {} if book is None else {"request": [RequestCounter(book, take)]}
