"""What is no fault of a request, but of what the hub stands on: the one place that gives each its code, all 503."""

from __future__ import annotations

import logging

from django.db import OperationalError
from redis.exceptions import RedisError

from splitcore.errors import AppError
from webapp.core.storage_errors import causes, disk_error, is_disk_error

logger = logging.getLogger(__name__)
BUSY_RETRY_SECONDS = 5
_SQLITE = ("database is locked", "database table is locked", "database schema is locked")
# PostgreSQL: lock not available, deadlock, could not serialise (each after the retry of `service`), no connection free.
_POSTGRES = ("55P03", "40P01", "40001", "53300")


class StandstillError(OperationalError):
    """A restore has the database for itself for a while."""


def outage(error: BaseException) -> AppError | None:
    """The numbered error for an exception that passes by itself, or None; a caller may try again later."""
    if isinstance(error, RedisError):
        return AppError("CL-1901")
    if is_disk_error(error):
        return disk_error(error)
    if is_busy(error):
        logger.warning("the database was busy for longer than a request waits")
        return AppError("CL-1905", details={"retry_after": BUSY_RETRY_SECONDS})
    return None


def is_busy(error: BaseException) -> bool:
    """Whether the error, or what caused it, is a database whose locks others held for too long."""
    return any(_is_lock_error(one) for one in causes(error))


def _is_lock_error(error: BaseException) -> bool:
    if not isinstance(error, OperationalError):
        return False
    if isinstance(error, StandstillError):
        return True
    return getattr(error.__cause__, "sqlstate", "") in _POSTGRES or any(words in str(error) for words in _SQLITE)
