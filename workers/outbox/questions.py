"""Open questions to the people at this site: certificates to trust and contracts to approve."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from workers.outbox.file import SpoolFile

WAITING_KEPT = 100  # most open questions to this site's people
WaitingKind = Literal["certificate", "contract"]


@dataclass(frozen=True)
class Question:
    """A certificate (by its fingerprint) or a contract (by its hash) that someone at this site has to decide on."""

    kind: WaitingKind
    subject: str
    title: str  # the hub's words: whose certificate, which run
    detail: str  # of a contract: its text


@dataclass(frozen=True)
class WaitingRow(Question):
    """A question, the run that asks it, and since when it has been asked."""

    run_id: str
    asked_at: float


class Questions(SpoolFile):
    """Their table."""

    def asked(self, run_id: str, questions: Sequence[Question]) -> None:
        """Set all questions of a run for this site's people; earlier ones that no longer apply are removed.

        A question keeps the time when it was first asked. If there are too many, the oldest are dropped.
        """
        known = self._read("SELECT kind, subject, title, detail FROM waiting WHERE run_id = ?", run_id)
        if {tuple(row) for row in known} == {(one.kind, one.subject, one.title, one.detail) for one in questions}:
            return
        with self._write() as connection:
            asked = {(one.kind, one.subject) for one in questions}
            gone = [
                (row["kind"], row["subject"], run_id) for row in known if (row["kind"], row["subject"]) not in asked
            ]
            connection.executemany("DELETE FROM waiting WHERE kind = ? AND subject = ? AND run_id = ?", gone)
            connection.executemany(
                "INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kind, subject, run_id) DO UPDATE SET "
                "title = excluded.title, detail = excluded.detail",
                [(one.kind, one.subject, run_id, one.title, one.detail, time.time()) for one in questions],
            )
            connection.execute(
                "DELETE FROM waiting WHERE asked_at <= (SELECT asked_at FROM waiting ORDER BY asked_at DESC "
                "LIMIT 1 OFFSET ?)",
                (WAITING_KEPT,),
            )

    def keep_asking(self, runs: set[str]) -> None:
        """The hub lists these runs: drop the questions of all others."""
        if gone := {row["run_id"] for row in self._read("SELECT DISTINCT run_id FROM waiting")} - runs:
            with self._write() as connection:
                connection.executemany("DELETE FROM waiting WHERE run_id = ?", [(run_id,) for run_id in gone])

    def waiting(self) -> list[WaitingRow]:
        """The open questions, newest first. If several runs wait for the same one, it is listed once, for the first."""
        query = (
            "SELECT kind, subject, title, detail, run_id, min(asked_at) AS asked_at FROM waiting "
            "GROUP BY kind, subject ORDER BY asked_at DESC"
        )
        return [WaitingRow(**dict(row)) for row in self._read(query)]
