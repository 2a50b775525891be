"""What this machine sent to the hub and worked on: read from the spool, for the site only."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class SentItem:
    """One record that the hub has stored: its kind and full content."""

    run_id: str
    kind: str
    step: int | None
    at: str
    payload: dict[str, Any]

    @property
    def text(self) -> str:
        """The content as it was sent."""
        return json.dumps(self.payload, ensure_ascii=False)


def _rows(spool_file: Path, query: str, limit: int) -> list[sqlite3.Row]:
    if not spool_file.exists():
        return []
    with closing(sqlite3.connect(f"file:{spool_file}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(query, (limit,)).fetchall()


def sent_items(spool_file: Path, *, limit: int) -> list[SentItem]:
    """The newest records that the hub has stored, newest first."""
    query = (
        "SELECT p.run_id, r.kind, r.step, r.at, r.payload FROM records r JOIN participants p USING (participant_id) "
        "WHERE r.seq <= p.stored_through ORDER BY r.at DESC LIMIT ?"
    )
    return [
        SentItem(row["run_id"], row["kind"], row["step"], row["at"], json.loads(row["payload"]))
        for row in _rows(spool_file, query, limit)
    ]


def recent_jobs(spool_file: Path, *, limit: int) -> list[dict[str, Any]]:
    """The newest jobs: run, kind, attempt, state, phase, step, outcome."""
    query = (
        "SELECT run_id, kind, attempt, state, phase, step, outcome FROM jobs ORDER BY rung_at DESC, rowid DESC LIMIT ?"
    )
    return [dict(row) for row in _rows(spool_file, query, limit)]
