"""The ledger's file: for each row and run the sum of squares of its releases (see `splitcore.privacy.composition`).

One SQLite file (WAL, synced at each commit) for each worker. Rows are known by keyed digests of what they hold, so that
another version of a dataset resets nothing, and datasets that share rows share what they have spent. A release is known
by its noised values: a resumed run that sends the same ones again is not charged for them. Killed at any point, it has
charged what has left, and at most what was just about to.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from splitcore.boundary.release import Reach
from workers.database import Database

_T = TypeVar("_T")
FORGET = timedelta(days=30)  # after a run's last release, far longer than it can be resumed
NO_ROW = 0  # in place of a row's number: a public prompt's release, and the last member of a version that is complete
CHUNK = 10_000  # rows that one transaction takes in: another job's charge waits for no whole dataset
SLACK = 1 + 1e-9  # noise that was calibrated for an ε meets it, whatever the last bits are
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (only INTEGER PRIMARY KEY CHECK (only = 1), fingerprint BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS rows (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, run_id TEXT NOT NULL, party TEXT NOT NULL, mechanism TEXT NOT NULL, reach TEXT NOT NULL,
    squared REAL NOT NULL DEFAULT 0, first_at TEXT NOT NULL, last_at TEXT NOT NULL, UNIQUE (run_id, party));
CREATE TABLE IF NOT EXISTS spent (
    run INTEGER NOT NULL, row INTEGER NOT NULL, trained INTEGER NOT NULL, squared REAL NOT NULL,
    releases INTEGER NOT NULL, PRIMARY KEY (row, run)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS spent_in_run ON spent (run);
CREATE TABLE IF NOT EXISTS releases (
    run INTEGER NOT NULL, row INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (run, row, digest)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS members (
    version TEXT NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (version, row)) WITHOUT ROWID;
"""
# What a row has spent in a run: where it trained the head, all that its party has released there.
_AMOUNT = "CASE WHEN runs.reach = 'run' AND spent.trained THEN max(runs.squared, spent.squared) ELSE spent.squared END"
_TOTALS = f"""SELECT spent.row, sum({_AMOUNT}) AS squared FROM spent JOIN runs ON runs.id = spent.run
WHERE spent.row IN ({{rows}}) AND spent.run != {{but}} GROUP BY spent.row"""  # noqa: S608  # our own words alone
_GIVEN, _IN_RUN, _IN_VERSIONS = (
    "SELECT value FROM json_each(?)",
    "SELECT row FROM spent WHERE run = ?",
    "SELECT row FROM members WHERE version IN (SELECT value FROM json_each(?))",
)


@dataclass(frozen=True)
class Charge:
    """A release of a row, which has this number in the book."""

    row: int
    trained: bool  # the row trains the head, where one is trained
    squared: float
    digest: bytes


@dataclass(frozen=True)
class RunSpent:
    """What a run has taken of some rows: the square of the worst, the releases of all."""

    run_id: str
    party: str
    mechanism: str
    reach: Reach
    squared: float
    rows: int
    releases: int
    last_at: str


class OverBudgetError(Exception):
    """A row would have spent so much."""

    def __init__(self, squared: float) -> None:
        super().__init__(str(squared))
        self.squared = squared


class SpendingBook(Database):
    """The file. Safe for several threads and processes: each charge is one transaction, its budget's check within."""

    def is_of(self, key: bytes) -> bool:
        """Whether the rows are known by this key, by its fingerprint; a book that has none yet takes it."""
        query = "SELECT fingerprint FROM keys"
        if not self._read(query):
            with self._write() as connection:
                connection.execute("INSERT OR IGNORE INTO keys VALUES (1, ?)", (key,))
        [found] = self._read(query)
        return bool(found["fingerprint"] == key)

    # ---- a run's half

    def enter(self, run_id: str, party: str, *, mechanism: str, reach: Reach, rows: Sequence[bytes]) -> _Entry:
        """A run is about to release rows with these digests: its number, and theirs. Old releases are forgotten."""
        now = datetime.now(UTC)
        past = (now - FORGET).isoformat()
        with self._write() as connection:
            connection.execute("DELETE FROM releases WHERE run IN (SELECT id FROM runs WHERE last_at < ?)", (past,))
            connection.execute(
                "INSERT INTO runs (run_id, party, mechanism, reach, first_at, last_at) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (run_id, party) DO UPDATE SET last_at = excluded.last_at",
                (run_id, party, mechanism, reach.value, now.isoformat(), now.isoformat()),
            )
            [run] = connection.execute("SELECT id FROM runs WHERE (run_id, party) = (?, ?)", (run_id, party)).fetchone()
        return _Entry(run, self._numbers(rows))

    def charge(self, run: int, charges: Sequence[Charge], most: float | None) -> None:
        """Write down releases that are about to leave; known ones cost nothing. Synced when this returns.

        `most`: the largest sum of squares of any row. Raises OverBudgetError, and then nothing is written.
        """
        with self._write() as connection:
            new = [one for one in charges if self._is_new(connection, run, one)]
            connection.executemany(
                "INSERT INTO spent VALUES (?, ?, ?, ?, 1) ON CONFLICT (row, run) DO UPDATE SET releases = releases + 1,"
                " squared = squared + excluded.squared, trained = max(trained, excluded.trained)",
                [(run, one.row, one.trained, one.squared) for one in new if one.row != NO_ROW],
            )
            connection.execute(
                "UPDATE runs SET squared = squared + ?, last_at = ? WHERE id = ?",
                (math.fsum(one.squared for one in new), datetime.now(UTC).isoformat(), run),
            )
            if most is not None and new:
                self._check(max(self._touched(connection, run, new), default=0.0), most)

    def unbound(self, run: int, rows: Iterable[int], most: float | None) -> None:
        """These rows are about to leave without any bound. Raises OverBudgetError where there is a budget."""
        self._check(math.inf, most)
        for part in _parts(list(rows)):
            with self._write() as connection:
                connection.executemany(
                    "INSERT INTO spent VALUES (?, ?, 1, ?, 1)"
                    " ON CONFLICT (row, run) DO UPDATE SET squared = excluded.squared",
                    [(run, row, math.inf) for row in part],
                )

    def check(
        self,
        run: int,
        reach: Reach,
        plan: Mapping[int, tuple[bool, float]],
        most: float | None,
        *,
        prompts: float = 0.0,
    ) -> None:
        """Whether a run can release what it plans: row → (trained, sum of squares). Raises OverBudgetError.

        `prompts`: the sum of squares of public prompts' releases.

        A resumed run plans all of its steps: what it has released of them before counts once.
        """
        if most is None or not plan:
            return
        with self._write() as connection:
            rows = json.dumps(list(plan))
            before = dict(connection.execute(_TOTALS.format(rows=_GIVEN, but=run), (rows,)).fetchall())
            own = f"SELECT row, squared FROM spent WHERE run = ? AND row IN ({_GIVEN})"  # noqa: S608
            here = dict(connection.execute(own, (run, rows)).fetchall())
            [whole] = connection.execute("SELECT squared FROM runs WHERE id = ?", (run,)).fetchone()
        whole = max(whole, math.fsum(squared for _, squared in plan.values()) + prompts)
        amounts = {
            row: whole if trained and reach is Reach.RUN else max(here.get(row, 0.0), squared)
            for row, (trained, squared) in plan.items()
        }
        self._check(max(before.get(row, 0.0) + amount for row, amount in amounts.items()), most)

    # ---- what people look at

    def remember(self, version: str, rows: Sequence[bytes]) -> None:
        """Which rows a version of a dataset has; it is known once all are there."""
        for part in _parts([*self._numbers(rows), NO_ROW]):
            with self._write() as connection:
                connection.executemany("INSERT OR IGNORE INTO members VALUES (?, ?)", [(version, row) for row in part])

    def knows(self, version: str) -> bool:
        """Whether a version's rows were remembered."""
        return bool(self._read("SELECT 1 FROM members WHERE (version, row) = (?, ?)", version, NO_ROW))

    def worst(self, versions: Iterable[str], *, but: str = "") -> float:
        """The square of the row that has spent most, among all rows of these versions, without a run."""
        totals = _TOTALS.format(rows=_IN_VERSIONS, but="ifnull((SELECT id FROM runs WHERE run_id = ?), 0)")
        [row] = self._read(f"SELECT max(squared) FROM ({totals})", json.dumps(list(versions)), but)  # noqa: S608
        return float(row[0] or 0.0)

    def runs(self, versions: Iterable[str]) -> list[RunSpent]:
        """The runs that took something of these versions' rows, the latest first."""
        found = self._read(
            f"SELECT runs.run_id, party, mechanism, reach, max({_AMOUNT}) AS squared, count(*) AS rows,"  # noqa: S608
            f" sum(releases) AS releases, last_at FROM spent JOIN runs ON runs.id = spent.run"
            f" WHERE spent.row IN ({_IN_VERSIONS}) GROUP BY runs.id ORDER BY last_at DESC",
            json.dumps(list(versions)),
        )
        return [RunSpent(**{**dict(row), "reach": Reach(row["reach"])}) for row in found]

    # ---- inside

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous=FULL")  # a charge is on disk before the bytes leave
        connection.executescript(_SCHEMA)

    def _numbers(self, digests: Sequence[bytes]) -> list[int]:
        """Of the rows with these digests; new ones get theirs."""
        numbers: list[int] = []
        for part in _parts(digests):
            keys = [(digest,) for digest in part]
            with self._write() as connection:
                connection.executemany("INSERT OR IGNORE INTO rows (digest) VALUES (?)", keys)
            query = "SELECT id FROM rows WHERE digest = ?"
            numbers += [int(self._read(query, *key)[0]["id"]) for key in keys]
        return numbers

    @staticmethod
    def _is_new(connection: sqlite3.Connection, run: int, one: Charge) -> bool:
        added = connection.execute("INSERT OR IGNORE INTO releases VALUES (?, ?, ?)", (run, one.row, one.digest))
        return added.rowcount > 0

    @staticmethod
    def _touched(connection: sqlite3.Connection, run: int, new: Sequence[Charge]) -> list[float]:
        """What the rows have spent whose total these releases changed: where rows train the head, all of the run's."""
        [reach] = connection.execute("SELECT reach FROM runs WHERE id = ?", (run,)).fetchone()
        if reach == Reach.RUN:
            found = connection.execute(_TOTALS.format(rows=_IN_RUN, but=0), (run,))
        else:
            found = connection.execute(_TOTALS.format(rows=_GIVEN, but=0), (json.dumps([one.row for one in new]),))
        return [squared for _, squared in found]

    @staticmethod
    def _check(squared: float, most: float | None) -> None:
        if most is not None and squared > most * SLACK:
            raise OverBudgetError(squared)


def _parts(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + CHUNK] for start in range(0, len(items), CHUNK))


@dataclass(frozen=True)
class _Entry:
    """Numbers in the book: a run's, and those of its rows in their order."""

    run: int
    rows: list[int]
