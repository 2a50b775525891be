"""Where the hub's Redis is, and how its clients behave when it is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry


def run_folder(var_dir: Path) -> Path:
    """Locks, sockets and addresses of the hub's running processes."""
    return var_dir / "run"


def connection_options(*, asynchronous: bool = False) -> dict[str, Any]:
    """One retry at once, for a connection that went stale: a request does not wait for a server that is away."""
    retry: Any = AsyncRetry(NoBackoff(), 1) if asynchronous else Retry(NoBackoff(), 1)
    return {"socket_connect_timeout": 2, "retry": retry, "health_check_interval": 0}
