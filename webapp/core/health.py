"""Is the hub healthy: database, message store, Celery (by the age of the last sweep), disk."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from redis.exceptions import RedisError

from webapp.core.storage_errors import refused_lately

SWEEP_KEY = "last-sweep"
SWEEP_FAILURES_KEY = "sweep-failures"
SWEEP_LATE_SECONDS = 60.0  # twelve sweeps; joining a large adapter delays a few
_started_at = time.time()
_seen = {"sweep": 0.0}


@dataclass(frozen=True)
class Part:
    """One part of the hub: whether it is healthy, and a figure where there is one."""

    healthy: bool
    figures: dict[str, Any]


def sweep_done() -> None:
    """Celery has swept just now."""
    with contextlib.suppress(RedisError):
        cache.set(SWEEP_KEY, time.time(), None)


def sweep_failed() -> None:
    """Celery could not sweep one of the runs."""
    with contextlib.suppress(RedisError):
        cache.add(SWEEP_FAILURES_KEY, 0, None)
        cache.incr(SWEEP_FAILURES_KEY)


def sweep_failures() -> int | None:
    """How many sweeps of a run have failed since the message store was filled; None where it is away."""
    with contextlib.suppress(RedisError):
        return int(cache.get(SWEEP_FAILURES_KEY) or 0)
    return None


def sweep_age() -> float | None:
    """Seconds since the last sweep, as far as this process has seen one; what it has seen outlives a flushed store."""
    with contextlib.suppress(RedisError):
        _seen["sweep"] = max(_seen["sweep"], float(cache.get(SWEEP_KEY) or 0.0))
    return time.time() - _seen["sweep"] if _seen["sweep"] else None


def look() -> dict[str, Part]:
    """Every part, looked at now."""
    return {"database": _database(), "redis": _redis(), "celery": _celery(), "disk": _disk()}


def is_healthy(parts: dict[str, Part]) -> bool:
    """Whether every part is healthy."""
    return all(part.healthy for part in parts.values())


def _database() -> Part:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return Part(False, {})
    return Part(True, {})


def _redis() -> Part:
    try:
        cache.get(SWEEP_KEY)
    except RedisError:
        return Part(False, {})
    return Part(True, {})


def _celery() -> Part:
    """No sweep yet is no illness while the hub starts."""
    age = sweep_age()
    since = age if age is not None else time.time() - _started_at
    return Part(since < SWEEP_LATE_SECONDS, {"seconds_since_sweep": None if age is None else round(age, 1)})


def _disk() -> Part:
    free = disk_free()
    return Part(free >= settings.MIN_FREE_BYTES and not refused_lately(), {"free_bytes": free})


def disk_free() -> int:
    """Free bytes where the hub keeps its files."""
    try:
        return shutil.disk_usage(settings.VAR_DIR).free
    except OSError:
        return 0
