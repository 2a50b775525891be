"""Batches of records as workers send them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from workers.contracts import TelemetryBatch, TelemetryRecord


def metric(seq: int, step: int | None = None, **payload: Any) -> TelemetryRecord:
    """One optimiser step."""
    values = {"loss": 3.0 - seq * 0.01, "tokens": 10, "seen_tokens": 20, "seconds": 0.5, "bytes_up": 100, **payload}
    return TelemetryRecord(
        seq=seq, kind="metric", step=seq if step is None else step, at=timezone.now(), payload=values
    )


def log(seq: int, message: str) -> TelemetryRecord:
    """One log line."""
    return TelemetryRecord(seq=seq, kind="log", at=timezone.now(), payload={"level": "info", "message": message})


def record(seq: int, kind: str, **payload: Any) -> TelemetryRecord:
    """One record of any kind."""
    return TelemetryRecord(seq=seq, kind=kind, step=1, at=timezone.now(), payload=payload)


def batch(participant: Any, *records: TelemetryRecord, attempt: int | None = None) -> TelemetryBatch:
    """Records of one participant, under its newest attempt unless another is given."""
    newest = participant.attempt if attempt is None else attempt
    return TelemetryBatch(participant_id=participant.id, attempt=newest, records=list(records))
