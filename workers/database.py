"""A SQLite file (WAL) of a worker, which several of its threads and processes read and write."""

from __future__ import annotations

import sqlite3
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from processes.file_lock import file_lock

BUSY_SECONDS = 20.0


class Database(ABC):
    """The file; each thread has a connection of its own, opened when it is first needed.

    It stays open: closing the last one makes SQLite empty its log to disk.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._local = path, threading.local()

    @abstractmethod
    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Make the tables. Other processes may be at it at the same time."""

    def _connection(self) -> sqlite3.Connection:
        if getattr(self._local, "connection", None) is None:
            self._local.connection = self._open()
        found: sqlite3.Connection = self._local.connection
        return found

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
        connection.row_factory = sqlite3.Row
        with file_lock(self._path):  # SQLite does not wait when two turn on the log of a new file at once
            connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        self._prepare(connection)
        return connection

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it is written, or nothing. Raises sqlite3.Error."""
        connection = self._connection()
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        return self._connection().execute(query, values).fetchall()
