"""The worker's one file for what must survive: its tables, and the error for a full disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from splitcore.errors import AppError
from workers.database import Database
from workers.outbox.schema import migrate


class SpoolFile(Database):
    """The file. Creating the object opens the file and upgrades its schema."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._connection()

    def _prepare(self, connection: sqlite3.Connection) -> None:
        migrate(connection)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """One transaction. Raises AppError CL-1820 when the disk is full."""
        try:
            with super()._write() as connection:
                yield connection
        except sqlite3.OperationalError as error:
            if any(word in str(error) for word in ("full", "disk I/O")):
                raise AppError("CL-1820") from None
            raise
