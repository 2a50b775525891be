"""What waits for the hub, on disk: numbered records, messages that must arrive, and which jobs are running.

One SQLite file for each worker. The halves and their supervisors write, the agent sends. A record gets its number in
the transaction that stores it, per participant, from 1 without gaps across attempts; it survives the hub's, the
agent's and the machine's restart. Only the newest attempt may write: the local end of the fence.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from splitcore.errors import AppError
from workers.contracts import PAYLOADS, Lane, LogPayload, Message, RecordKind, TelemetryRecord
from workers.outbox.file import SpoolFile

BATCH = 500
KEPT = 2000  # delivered records kept per participant, for the console's ledger
OutboxKind = Literal["ready", "segment", "tokenizer", "verified", "exit"]
JobState = Literal["rung", "running", "exited"]


@dataclass(frozen=True)
class OutboxItem:
    """A message that must arrive. `file` accompanies a segment or the tokenizer."""

    id: int
    run_id: str
    participant_id: str
    kind: OutboxKind
    attempt: int
    body: str
    file: str


@dataclass(frozen=True)
class JobRow:
    """One job of this worker as its agent and supervisor see it."""

    job_id: str
    run_id: str
    participant_id: str
    kind: str
    attempt: int
    state: JobState
    phase: str
    step: int
    rung_at: float
    rings: int
    outcome: str
    contract_hash: str  # of the admitted contract; empty: none
    party: str


@dataclass(frozen=True)
class Pending:
    """One participant's records that the hub doesn't have yet."""

    participant_id: str
    run_id: str
    attempt: int
    stored_through: int
    records: list[TelemetryRecord]


class StaleAttemptError(AppError):
    """The caller's attempt was replaced by a newer one; it must end."""

    def __init__(self) -> None:
        super().__init__("CL-1503")


class Spool(SpoolFile):
    """Records, messages and jobs. Safe for several processes at once; each call is one short transaction."""

    # ── records ──

    def claim(self, *, run_id: str, participant_id: str, attempt: int) -> None:
        """Note the attempt issued by the hub: from now on, only it may write."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO participants (participant_id, run_id, attempt) VALUES (?, ?, ?) "
                "ON CONFLICT (participant_id) DO UPDATE SET attempt = max(attempt, excluded.attempt)",
                (participant_id, run_id, attempt),
            )

    def record(
        self, *, participant_id: str, attempt: int, kind: RecordKind, payload: Message, step: int | None = None
    ) -> int:
        """Store a record under the next number. Raises StaleAttemptError when a newer attempt was claimed."""
        if not isinstance(payload, PAYLOADS[kind]):
            raise TypeError(f"a record of kind {kind} needs a {PAYLOADS[kind].__name__}")
        with self._write() as connection:
            row = connection.execute(
                "UPDATE participants SET last_seq = last_seq + 1 WHERE participant_id = ? AND attempt = ? "
                "RETURNING last_seq",
                (participant_id, attempt),
            ).fetchone()
            if row is None:
                raise StaleAttemptError()
            connection.execute(
                "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?)",
                (participant_id, row[0], kind, step, datetime.now(UTC).isoformat(), payload.model_dump_json()),
            )
            return int(row[0])

    def pending(self, *, limit: int = BATCH, rests: Callable[[str], bool] = lambda _: False) -> list[Pending]:
        """The next records to send, in order, for each participant that isn't resting."""
        participants = self._read("SELECT * FROM participants WHERE last_seq > stored_through")
        return [
            Pending(
                row["participant_id"],
                row["run_id"],
                row["attempt"],
                row["stored_through"],
                self._next_records(row, limit),
            )
            for row in participants
            if not rests(row["participant_id"])
        ]

    def _next_records(self, participant: sqlite3.Row, limit: int) -> list[TelemetryRecord]:
        rows = self._read(
            "SELECT * FROM records WHERE participant_id = ? AND seq > ? ORDER BY seq LIMIT ?",
            participant["participant_id"],
            participant["stored_through"],
            limit,
        )
        return [_record_of(row) for row in rows]

    def stored(self, participant_id: str, through: int) -> None:
        """The hub has everything up to `through`."""
        with self._write() as connection:
            connection.execute(
                "UPDATE participants SET stored_through = max(stored_through, min(?, last_seq)) "
                "WHERE participant_id = ?",
                (through, participant_id),
            )
            connection.execute(
                "DELETE FROM records WHERE participant_id = ? AND seq <= ?", (participant_id, through - KEPT)
            )

    def rewind(self, participant_id: str, through: int, note: Message) -> None:
        """The hub has fewer records than before: send everything after `through` again.

        A number whose record is gone gets `note` in its place, so that the numbering closes; the messages of the
        attempt are sent again too, each of which changes nothing where the hub has it.
        """
        with self._write() as connection:
            row = connection.execute(
                "SELECT * FROM participants WHERE participant_id = ?", (participant_id,)
            ).fetchone()
            if row is None or through >= row["stored_through"]:
                return
            kept = connection.execute(
                "SELECT seq FROM records WHERE participant_id = ? AND seq > ?", (participant_id, through)
            )
            missing = set(range(through + 1, row["last_seq"] + 1)) - {int(found["seq"]) for found in kept}
            at, text = datetime.now(UTC).isoformat(), note.model_dump_json()
            connection.executemany(
                "INSERT INTO records VALUES (?, ?, 'log', NULL, ?, ?)",
                [(participant_id, seq, at, text) for seq in sorted(missing)],
            )
            connection.execute(
                "UPDATE participants SET stored_through = ? WHERE participant_id = ?", (through, participant_id)
            )
            self._send_again(connection, participant_id, row["attempt"])

    def doubt(self, participant_id: str) -> None:
        """The hub was restored: probe its position with the newest record, and send the attempt's messages again."""
        with self._write() as connection:
            row = connection.execute(
                "UPDATE participants SET stored_through = min(stored_through, max(0, last_seq - 1)) "
                "WHERE participant_id = ? RETURNING attempt",
                (participant_id,),
            ).fetchone()
            if row is not None:
                self._send_again(connection, participant_id, row["attempt"])

    def _send_again(self, connection: sqlite3.Connection, participant_id: str, attempt: int) -> None:
        connection.execute(
            "UPDATE outbox SET sent_at = NULL, refused = '' WHERE participant_id = ? AND attempt = ?",
            (participant_id, attempt),
        )

    def highest_attempt(self, participant_id: str) -> int:
        """This worker's highest attempt at a part; 0 before the first."""
        rows = self._read("SELECT attempt FROM participants WHERE participant_id = ?", participant_id)
        return int(rows[0]["attempt"]) if rows else 0

    def replace(self, participant_id: str, seq: int, kind: RecordKind, payload: Message) -> None:
        """Replace a record that the hub refuses, so that the numbering has no gaps."""
        with self._write() as connection:
            connection.execute(
                "UPDATE records SET kind = ?, payload = ?, step = NULL, at = ? WHERE participant_id = ? AND seq = ?",
                (kind, payload.model_dump_json(), datetime.now(UTC).isoformat(), participant_id, seq),
            )

    # ── messages that must arrive ──

    def post(
        self,
        *,
        run_id: str,
        participant_id: str,
        kind: OutboxKind,
        attempt: int,
        body: Message,
        file: Path | None = None,
    ) -> None:
        """Queue a message. It is sent after every record and message that was stored before it."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO outbox (run_id, participant_id, kind, attempt, body, file, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run_id, participant_id, kind, attempt, body.model_dump_json(), str(file or ""), time.time()),
            )

    def outbox(self) -> list[OutboxItem]:
        """Messages not yet sent, oldest first."""
        rows = self._read("SELECT * FROM outbox WHERE sent_at IS NULL ORDER BY id")
        names = OutboxItem.__dataclass_fields__
        return [OutboxItem(**{name: row[name] for name in names}) for row in rows]

    def rewrite(self, item: OutboxItem, body: Message) -> None:
        """Replace the body of a message that the hub rejects."""
        with self._write() as connection:
            connection.execute("UPDATE outbox SET body = ? WHERE id = ?", (body.model_dump_json(), item.id))

    def sent(self, item: OutboxItem, *, refused: str = "") -> None:
        """The hub accepted the message, or refused it for good with this code."""
        with self._write() as connection:
            connection.execute(
                "UPDATE outbox SET sent_at = ?, refused = ? WHERE id = ?", (time.time(), refused, item.id)
            )

    def was_refused(self, participant_id: str, attempt: int, code: str) -> bool:
        """Whether a message of this attempt was given up on with this code."""
        query = "SELECT 1 FROM outbox WHERE participant_id = ? AND attempt = ? AND refused = ? LIMIT 1"
        return bool(self._read(query, participant_id, attempt, code))

    # ── jobs ──

    def job(self, job_id: str) -> JobRow | None:
        """One job, if there is one."""
        rows = self._read("SELECT * FROM jobs WHERE job_id = ?", job_id)
        return JobRow(**dict(rows[0])) if rows else None

    def jobs(self, *, state: JobState | None = None) -> list[JobRow]:
        """All jobs, or those in a state."""
        rows = self._read("SELECT * FROM jobs WHERE ? IS NULL OR state = ?", state, state)
        return [JobRow(**dict(row)) for row in rows]

    def recent_jobs(self, *, seconds: float, participant_id: str | None = None) -> list[JobRow]:
        """The jobs, of one participant or of all, that are open or were rung for within so many seconds."""
        query = (
            "SELECT * FROM jobs WHERE (state != 'exited' OR rung_at > ?) AND (? IS NULL OR participant_id = ?) "
            "ORDER BY rowid"
        )
        rows = self._read(query, time.time() - seconds, participant_id, participant_id)
        return [JobRow(**dict(row)) for row in rows]

    def admitted_contract(self, run_id: str, *, but: Collection[str] = ()) -> str | None:
        """The hash of the one contract admitted here for jobs of a run, if any. Kinds in `but` bind to none."""
        rows = self._read("SELECT kind, contract_hash FROM jobs WHERE run_id = ? AND contract_hash != ''", run_id)
        return next((str(row["contract_hash"]) for row in rows if row["kind"] not in but), None)

    def admitted_participant(self, contract_hash: str, party: str, *, but: Collection[str] = ()) -> str | None:
        """The one participant admitted here for a contract's party, if any; not by jobs of the kinds `but`."""
        query = "SELECT kind, participant_id FROM jobs WHERE contract_hash = ? AND party = ?"
        rows = self._read(query, contract_hash, party)
        return next((str(row["participant_id"]) for row in rows if row["kind"] not in but), None)

    def job_rung(
        self, *, job_id: str, run_id: str, participant_id: str, kind: str, contract_hash: str, party: str
    ) -> None:
        """The doorbell was rung for a job that was admitted with this contract, for this party."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO jobs (job_id, run_id, participant_id, kind, state, rung_at, rings, contract_hash, party) "
                "VALUES (?, ?, ?, ?, 'rung', ?, 1, ?, ?) "
                "ON CONFLICT (job_id) DO UPDATE SET rung_at = excluded.rung_at, rings = rings + 1, "
                "contract_hash = excluded.contract_hash, party = excluded.party "
                "WHERE contract_hash IN ('', excluded.contract_hash)",
                (job_id, run_id, participant_id, kind, time.time(), contract_hash, party),
            )

    def job_over(self, *, job_id: str, run_id: str, participant_id: str, kind: str, outcome: str) -> None:
        """A job without a process has ended, whether it was on record or not; what it was admitted with is kept."""
        with self._write() as connection:
            connection.execute(
                "INSERT INTO jobs (job_id, run_id, participant_id, kind, state, rung_at, outcome) "
                "VALUES (?, ?, ?, ?, 'exited', ?, ?) "
                "ON CONFLICT (job_id) DO UPDATE SET state = 'exited', outcome = excluded.outcome",
                (job_id, run_id, participant_id, kind, time.time(), outcome),
            )

    def job_running(self, job_id: str, attempt: int) -> None:
        """A supervisor has claimed the job."""
        self._set(job_id, "state = 'running', attempt = ?", attempt)

    def job_waiting(self, job_id: str) -> None:
        """The job's doorbell has to be rung again."""
        self._set(job_id, "state = 'rung', rung_at = ?", 0.0)

    def job_progress(self, job_id: str, *, phase: str, step: int | None) -> None:
        """The job's progress, for the heartbeats."""
        self._set(job_id, "phase = ?, step = coalesce(?, step)", phase, step)

    def job_exited(self, job_id: str, outcome: str) -> None:
        """The job's process is gone for good."""
        self._set(job_id, "state = 'exited', outcome = ?", outcome)

    def _set(self, job_id: str, assignments: str, *values: Any) -> None:
        with self._write() as connection:
            connection.execute(f"UPDATE jobs SET {assignments} WHERE job_id = ?", (*values, job_id))  # noqa: S608

    # ── for the beats and the console ──

    def lanes(self, *, but: Collection[str] = ()) -> list[Lane]:
        """What each running job is doing, for the heartbeats; not those of kinds (`but`) that tell no phase."""
        names = ("run_id", "participant_id", "attempt", "phase", "step")
        rows = self._read("SELECT * FROM jobs WHERE state = 'running' LIMIT 64")
        return [Lane(**{name: row[name] for name in names}) for row in rows if row["kind"] not in but]


def _record_of(row: sqlite3.Row) -> TelemetryRecord:
    """A stored record, or a note in place of one that an older version stored beyond today's bounds."""
    try:
        payload = json.loads(row["payload"])
        return TelemetryRecord(seq=row["seq"], kind=row["kind"], step=row["step"], at=row["at"], payload=payload)
    except ValueError:
        note = LogPayload(level="warning", message="A record from an older version exceeded today's bounds (CL-1415).")
        return TelemetryRecord(seq=row["seq"], kind="log", at=datetime.now(UTC), payload=note.model_dump())
