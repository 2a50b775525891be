"""A disk that takes no more: recognised in whatever form it comes, counted, and answered with CL-1904 (503)."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Iterator

from django.db import DatabaseError
from prometheus_client import Counter

from splitcore.errors import AppError
from webapp.core.registry import REGISTRY

logger = logging.getLogger(__name__)
ALARM_SECONDS = 60.0
_NUMBERS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SQLITE = ("database or disk is full", "disk i/o error")
_POSTGRES = "53100"  # disk_full
_refused = Counter("cutlayer_writes_refused", "Writes that the hub's disk did not take.", registry=REGISTRY)
_last_at: list[float] = []


def is_disk_error(error: BaseException | None) -> bool:
    """Whether the error, or what caused it, is a disk that is full or fails."""
    return any(_takes_no_more(one) for one in causes(error))


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _takes_no_more(error: BaseException) -> bool:
    if isinstance(error, DatabaseError):
        text = str(error).lower()
        return any(words in text for words in _SQLITE) or getattr(error.__cause__, "sqlstate", "") == _POSTGRES
    return isinstance(error, OSError) and error.errno in _NUMBERS


def disk_error(error: BaseException) -> AppError:
    """The numbered error for it, which workers take for an outage: they keep what they have and send it again."""
    logger.error("the hub's disk takes no more (%s)", type(error).__name__)
    _refused.inc()
    _last_at[:] = [time.monotonic()]
    return AppError("CL-1904", details={"retry_after": 10})


def refused_lately() -> bool:
    """Whether a write was refused within the last minute."""
    return bool(_last_at) and time.monotonic() - _last_at[0] < ALARM_SECONDS
