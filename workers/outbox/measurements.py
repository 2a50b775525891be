"""How much was revealed about this site's held-out rows: which evaluations used which rows, for which contracts."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workers.outbox.file import SpoolFile

DAY = 86400.0  # seconds


@dataclass(frozen=True)
class Selection:
    """Held-out rows of a dataset, by their marks, on which a contract's adapter is to be evaluated."""

    dataset: str  # its digest
    contract: str  # its hash
    adapter: str  # its SHA-256
    rows: Sequence[str]


class Measurements(SpoolFile):
    """Their tables."""

    def last_evaluation(self, participant_id: str) -> float | None:
        """The loss of the participant's last evaluation, if there is one."""
        query = "SELECT payload FROM records WHERE participant_id = ? AND kind = 'eval' ORDER BY seq DESC LIMIT 1"
        rows = self._read(query, participant_id)
        loss = json.loads(rows[0]["payload"])["loss"] if rows else None
        return None if loss is None else float(loss)

    def may_measure(self, *, contract_hash: str, party: str, adapter_sha256: str, limit: int) -> bool:
        """Take one of the contract's slots for an adapter evaluated on this site's rows, if one is left.

        The same adapter takes only one slot, however often its check is repeated.
        """
        with self._write() as connection:
            key = "contract_hash = ? AND party = ?"
            rows = connection.execute(
                f"SELECT adapter_sha256 FROM evaluations WHERE {key}",  # noqa: S608
                (contract_hash, party),
            ).fetchall()
            known = {row[0] for row in rows}
            if adapter_sha256 not in known and len(known) >= limit:
                return False
            connection.execute(
                "INSERT OR IGNORE INTO evaluations VALUES (?, ?, ?)", (contract_hash, party, adapter_sha256)
            )
            return True

    def may_audit(self, *, dataset: str, job_id: str, limit: int) -> bool:
        """Count a leakage audit of a dataset's rows if the last 24 hours allow another one, across all contracts.

        One that was interrupted and is done again is counted once.
        """
        now, kept = time.time(), f"audit of {dataset}"
        with self._write() as connection:
            known, count = connection.execute(
                "SELECT coalesce(sum(contract_hash = ?), 0), coalesce(sum(at > ?), 0) FROM measured "
                "WHERE dataset_digest = ?",
                (job_id, now - DAY, kept),
            ).fetchone()
            if not known and count >= limit:
                return False
            connection.execute("INSERT OR IGNORE INTO measured VALUES (?, ?, '', ?)", (kept, job_id, now))
            return True

    def may_measure_rows(self, selection: Selection, *, limit: int, least: int) -> bool:
        """Count an evaluation on a dataset's rows if the last 24 hours allow another one, across all contracts.

        Two selections that differ by fewer than `least` rows would reveal those few; the second is refused, even if
        they come from two versions of a dataset. The same contract's adapter gives the same figures on the same rows,
        and is counted once.
        """
        now, rows = time.time(), set(selection.rows)
        with self._write() as connection:
            kept = connection.execute("SELECT rows FROM selections")
            if any(0 < len(rows ^ set(one["rows"].split())) < least for one in kept):
                return False
            known, count = connection.execute(
                "SELECT coalesce(sum(contract_hash = ? AND adapter_sha256 = ?), 0), coalesce(sum(at > ?), 0) "
                "FROM measured WHERE dataset_digest = ?",
                (selection.contract, selection.adapter, now - DAY, selection.dataset),
            ).fetchone()
            if not known and count >= limit:
                return False
            connection.execute(
                "INSERT OR IGNORE INTO measured VALUES (?, ?, ?, ?)",
                (selection.dataset, selection.contract, selection.adapter, now),
            )
            connection.execute(
                "INSERT OR IGNORE INTO selections VALUES (?, ?)", (selection.dataset, " ".join(sorted(rows)))
            )
            return True
