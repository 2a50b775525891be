"""While a restore puts another database in the place of the hub's, nobody else uses it, wherever the hub runs.

On PostgreSQL every connection of a hub's process shares an advisory lock as long as it is open, and a restore holds
that lock for itself: it begins while no connection is open, and from then on a new one is refused. The server lets go
of the lock with its holder. A hub on SQLite runs on one machine, where its folder is locked.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from splitcore.errors import AppError
from webapp.core.outages import StandstillError

ENDING_SECONDS = 2.0
LOCK = int.from_bytes(b"cutlayer")  # the database's own number for it


class _Mine(threading.local):
    """Whether this thread is the restore, whose connections ask nobody."""

    restores = False


_mine = _Mine()


def share(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Take a part in the lock for a connection that was just opened. Raises StandstillError during a restore."""
    if connection.vendor != "postgresql" or _mine.restores:
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock_shared(%s)", [LOCK])
        (is_shared,) = cursor.fetchone()
    if not is_shared:
        connection.close()
        raise StandstillError("A restore replaces this database.")


@contextmanager
def standstill() -> Iterator[None]:
    """Have the database alone for the length of the block. Raises AppError CL-1921 where others use it."""
    if connection.vendor != "postgresql":
        yield
        return
    connections.close_all()
    with closing(connection.get_new_connection(connection.get_connection_params())) as holder:
        holder.autocommit = True  # else the lock's holder would stand in a transaction all the while
        if not _is_alone(holder):
            raise AppError("CL-1921", "Other processes are using the hub's database.")
        _mine.restores = True
        try:
            yield
        finally:
            connections.close_all()
            _mine.restores = False
            with suppress(Exception):  # a connection that is broken has let go of it
                holder.execute(
                    "SELECT pg_advisory_unlock(%s)", [LOCK]
                )  # at once: one that is closed ends a little later


def _is_alone(holder: Any) -> bool:
    """Whether the lock was to be had, within the moment that the server takes to end connections that were closed."""
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        (is_alone,) = holder.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if is_alone or time.monotonic() > deadline:
            return bool(is_alone)
        time.sleep(0.05)
