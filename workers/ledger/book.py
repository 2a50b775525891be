"""The book: for each run, receiver and kind, how much has left, and a hash that runs over the headers of all of it.

One SQLite file (WAL) for each worker, written by the agent, the supervisors, the halves and the commands. Its size is
bounded by runs, receivers and kinds, not by messages. The hash is a chain: SHA-256 of the hash before it and a header.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from workers.database import Database

log = logging.getLogger(__name__)
START = bytes(32)  # what every chain begins with
HUB = "hub"
_MOST_UNWRITTEN = 10_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS leaves (
    run_id TEXT NOT NULL, receiver TEXT NOT NULL, kind TEXT NOT NULL, count INTEGER NOT NULL DEFAULT 0,
    nbytes INTEGER NOT NULL DEFAULT 0, digest BLOB NOT NULL, hashed INTEGER NOT NULL DEFAULT 0,
    content_digest BLOB NOT NULL, first_at TEXT NOT NULL, last_at TEXT NOT NULL,
    PRIMARY KEY (run_id, receiver, kind)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS writers (
    job_id TEXT NOT NULL, attempt INTEGER NOT NULL, run_id TEXT NOT NULL, pid INTEGER NOT NULL,
    told_at TEXT NOT NULL, ended INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (job_id, attempt)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reserved (run_id TEXT PRIMARY KEY, nbytes INTEGER NOT NULL) WITHOUT ROWID;
"""

_SPENT = (
    "SELECT max(coalesce((SELECT nbytes FROM reserved WHERE run_id = ?), 0), coalesce(sum(nbytes), 0)) "
    "FROM leaves WHERE run_id = ?"
)


def chained(digest: bytes, header: bytes) -> bytes:
    """The chain's next link."""
    return sha256(digest + header).digest()


@dataclass
class Line:
    """What has left of one kind, to one receiver, in one run (none: outside runs)."""

    run_id: str
    receiver: str
    kind: str
    count: int = 0
    nbytes: int = 0
    digest: bytes = START
    hashed: int = 0  # of them, how many whose whole content went into `content_digest`
    content_digest: bytes = START
    first_at: str = ""
    last_at: str = ""


@dataclass(frozen=True)
class Writer:
    """A job's process that counts frames. Without `ended` it was killed, or is at work still."""

    job_id: str
    attempt: int
    run_id: str
    pid: int
    told_at: str
    ended: bool


class BudgetError(Exception):
    """So many bytes more would go beyond the budget of their run."""

    def __init__(self, budget: int, spent: int, nbytes: int) -> None:
        super().__init__(f"{spent} + {nbytes} > {budget}")
        self.budget, self.spent, self.nbytes = budget, spent, nbytes


class Book(Database):
    """The file. Safe for several threads and processes."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._unwritten: list[Line] = []  # of messages that left while the disk took nothing
        self._lock = threading.Lock()

    def add(self, kind: str, nbytes: int, header: bytes, *, run_id: str = "", receiver: str = HUB) -> None:
        """A message has left. Never raises: what the disk does not take now is written with the next one."""
        with self._lock:
            self._unwritten.append(Line(run_id, receiver, kind, 1, nbytes, header))
            waiting, self._unwritten = self._unwritten, []
        try:
            with self._write() as connection:
                for one in waiting:
                    old = self._line(connection, one)
                    digest = chained(old.digest, one.digest)  # here the message's header, until it is in the chain
                    self._store(connection, one, old, digest, old.content_digest)
        except (OSError, sqlite3.Error) as error:
            log.error("the ledger could not be written: %s", type(error).__name__)
            with self._lock:
                self._unwritten = (waiting + self._unwritten)[-_MOST_UNWRITTEN:]

    def advance(self, lines: list[Line], writer: Writer) -> None:
        """A half's frames since it last told: counts are added, and its hashes take the place of those before."""
        with self._write() as connection:
            for one in lines:
                self._store(connection, one, self._line(connection, one), one.digest, one.content_digest)
            connection.execute(
                "INSERT OR REPLACE INTO writers VALUES (?, ?, ?, ?, ?, ?)",
                (writer.job_id, writer.attempt, writer.run_id, writer.pid, writer.told_at, writer.ended),
            )

    def lines(self, run_id: str | None = None) -> list[Line]:
        """What has left, by run, receiver and kind; of one run, or of all ("" is what belongs to none)."""
        rows = self._read("SELECT * FROM leaves WHERE ? IS NULL OR run_id = ? ORDER BY last_at DESC", run_id, run_id)
        return [Line(**dict(row)) for row in rows]

    def writers(self, run_id: str | None = None) -> list[Writer]:
        """The jobs that have counted frames."""
        rows = self._read("SELECT * FROM writers WHERE ? IS NULL OR run_id = ? ORDER BY told_at", run_id, run_id)
        return [Writer(**{**dict(row), "ended": bool(row["ended"])}) for row in rows]

    def spent(self, run_id: str) -> int:
        """Bytes of a run's budget that are taken or have left, to all receivers."""
        rows = self._read(_SPENT, run_id, run_id)
        return int(rows[0][0]) if rows else 0

    def reserve(self, run_id: str, nbytes: int, budget: int | None, *, more: int = 0) -> int:
        """Take bytes of a run's budget before they leave; returns how many were taken, up to `more` beyond `nbytes`.

        Every process of the worker takes from the same figure. What was taken stays taken, whatever becomes of the
        message or of the process. `budget` None: taken in any case. Raises BudgetError.
        """
        with self._write() as connection:
            [spent] = connection.execute(_SPENT, (run_id, run_id)).fetchone()
            taken = nbytes
            if budget is not None:
                if spent + nbytes > budget:
                    raise BudgetError(budget, spent, nbytes)
                taken += min(more, budget - spent - nbytes)
            connection.execute("INSERT OR REPLACE INTO reserved VALUES (?, ?)", (run_id, spent + taken))
        return taken

    def give_back(self, run_id: str, nbytes: int) -> None:
        """Bytes that a process took and knows that it has not used."""
        with self._write() as connection:
            connection.execute("UPDATE reserved SET nbytes = nbytes - ? WHERE run_id = ?", (nbytes, run_id))

    # ---- inside

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.executescript(_SCHEMA)

    def _read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        if not self._path.exists():  # reading makes no file
            return []
        return super()._read(query, *values)

    @staticmethod
    def _line(connection: sqlite3.Connection, of: Line) -> Line:
        row = connection.execute(
            "SELECT * FROM leaves WHERE run_id = ? AND receiver = ? AND kind = ?", (of.run_id, of.receiver, of.kind)
        ).fetchone()
        return Line(**dict(row)) if row else Line(of.run_id, of.receiver, of.kind)

    @staticmethod
    def _store(connection: sqlite3.Connection, more: Line, old: Line, digest: bytes, content_digest: bytes) -> None:
        now = now_text()
        connection.execute(
            "INSERT OR REPLACE INTO leaves VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                more.run_id,
                more.receiver,
                more.kind,
                old.count + more.count,
                old.nbytes + more.nbytes,
                digest,
                old.hashed + more.hashed,
                content_digest,
                old.first_at or now,
                now,
            ),
        )


def now_text() -> str:
    """This moment, as the book writes it."""
    return datetime.now(UTC).isoformat()
