"""A body is bounded before CSRF, session or view are asked, and before any of it is on the disk."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from workers.console.body_limit import FORM_BYTES
from workers.console.tests.conftest import RunningConsole, running_console
from workers.data.uploads import CHUNK_BYTES
from workers.tests.support import wait_for

SOME_UPLOAD = f"/uploads/{'a' * 16}"
PIECE = b"x" * 65536


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningConsole]:
    with running_console(tmp_path_factory.mktemp("console")) as running:
        yield running


def endless(limit: int) -> Iterator[bytes]:
    """A body without a length that goes a little beyond a limit, and much beyond it if it is let."""
    for _ in range(limit // len(PIECE) + 2000):
        yield PIECE


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/pin", FORM_BYTES),
        ("POST", "/ticket", FORM_BYTES),
        ("POST", "/no-such-page", FORM_BYTES),
        ("POST", SOME_UPLOAD, FORM_BYTES),
        ("PUT", f"{SOME_UPLOAD}/check", FORM_BYTES),
        ("PUT", SOME_UPLOAD, CHUNK_BYTES),
    ],
)
def test_stranger_s_body_ends_at_the_bound(console: RunningConsole, method: str, path: str, limit: int) -> None:
    refusal = ask(console.url, f"{method} {path} HTTP/1.1\r\nContent-Length: {limit + 1}\r\n")
    assert b" 413 " in refusal.split(b"\r\n")[0]
    assert b"CL-1803" in refusal
    taken, refusal = stream(console.url, method, path, limit)
    assert b" 413 " in refusal.split(b"\r\n")[0]
    assert b"CL-1803" in refusal
    assert taken < limit + 16 * 2**20, "what the sockets hold may be sent, and no more is read"


def ask(url: str, head: str) -> bytes:
    """Send a request's head without its body; the whole answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as link:
        link.sendall(f"{head}Host: {parts.netloc}\r\n\r\n".encode())
        return b"".join(iter(lambda: link.recv(65536), b""))


def stream(url: str, method: str, path: str, limit: int) -> tuple[int, bytes]:
    """Send a chunked body until the console answers; how much was taken, and the answer."""
    parts = urlsplit(url)
    sent = 0
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as link:
        head = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nTransfer-Encoding: chunked\r\n\r\n"
        link.sendall(head.encode())
        with suppress(OSError):  # the console closes
            for piece in endless(limit):
                link.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
                sent += len(piece)
        answer = b""
        with suppress(OSError):
            while more := link.recv(65536):
                answer += more
    return sent, answer


def test_no_part_of_a_stranger_s_body_reaches_the_disk(console: RunningConsole) -> None:
    """Six megabytes are within a part's bound: they are held in memory, and refused for want of a session."""
    parts, size = urlsplit(console.url), 6 * 2**20
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as link:
        link.sendall(f"PUT {SOME_UPLOAD} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: {size}\r\n\r\n".encode())
        link.sendall(b"x" * (size - 1))
        wait_for(lambda: unread(link) == 0, what="the console to take the body")
        assert deleted_files(console.pid) == [], "a part of the body is in a file"
        link.sendall(b"x")
        assert b" 403 " in link.recv(65536).split(b"\r\n")[0]


def unread(link: socket.socket) -> int:
    """Bytes that wait in the system for the other end to read them."""
    here, there = link.getsockname()[1], link.getpeername()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues = line.split()[:5]
        if (int(local[-4:], 16), int(remote[-4:], 16)) == (there, here):
            return int(queues.split(":")[1], 16)
    raise AssertionError("the connection is gone")


def deleted_files(pid: int) -> list[str]:
    """Files without a name that a process holds open, as `tempfile` makes them."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(entry)
            if target.startswith("/") and "(deleted)" in target:
                found.append(target)
    return found
