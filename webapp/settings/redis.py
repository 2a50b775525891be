"""Where the hub's Redis is, and how its clients behave when it is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from processes.private_files import replace_private
from processes.redis_server import SOCKET_NAME

_URL_FILE = "redis.url"


def run_folder(var_dir: Path) -> Path:
    """Locks, sockets and addresses of the hub's running processes."""
    return var_dir / "run"


def keep_url(var_dir: Path, url: str) -> None:
    """Let other commands of this installation find the server that `serve` runs (its password is in the URL)."""
    replace_private(run_folder(var_dir) / _URL_FILE, url.encode())


def url_of_folder(var_dir: Path) -> str:
    """The server that `serve` has run last in the hub's folder; a socket that nobody listens on where it never ran."""
    try:
        return (run_folder(var_dir) / _URL_FILE).read_text().strip()
    except OSError:
        return f"unix://{run_folder(var_dir) / SOCKET_NAME}"


def connection_options(*, asynchronous: bool = False) -> dict[str, Any]:
    """One retry at once, for a connection that went stale: a request does not wait for a server that is away."""
    retry: Any = AsyncRetry(NoBackoff(), 1) if asynchronous else Retry(NoBackoff(), 1)
    return {"socket_connect_timeout": 2, "retry": retry, "health_check_interval": 0}
