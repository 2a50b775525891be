"""Storing what workers report: each record once, numbered without gaps within its run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from pydantic import ValidationError

from splitcore.data.scores import LEAST_SCORED
from splitcore.errors import AppError
from webapp.core.live import notify_run
from webapp.core.transactions import service
from webapp.runs.configure.values import labels_of
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, Run
from webapp.telemetry.models import Record
from workers.contracts import (
    EVENTS,
    PAYLOADS,
    ErrorInfo,
    EventPayload,
    HubEvent,
    Role,
    TelemetryBatch,
    TelemetryRecord,
)

_COUNTED = frozenset({"metric", "eval", "sample", "event"})  # what figures and checkpoints come from
_CLOCK = timedelta(days=1)  # how far a record's time may lie before its run


def records_fresh(*, batch: TelemetryBatch, after: int) -> list[TelemetryRecord]:
    """The records of a batch that are new and follow without a gap."""
    fresh = []
    for record in sorted(batch.records, key=lambda record: record.seq):
        if record.seq == after + 1:
            fresh.append(record)
            after = record.seq
    return fresh


def payload_clean(*, kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    """A payload as the schema of its kind allows it."""
    try:
        message = PAYLOADS[kind].model_validate(payload)
    except ValidationError as error:
        names = sorted({".".join(str(part)[:40] for part in problem["loc"]) for problem in error.errors()})
        raise AppError("CL-1415", f"A record of kind {kind} is malformed.", details={"problems": names[:5]}) from error
    return message.model_dump(mode="json")


def _eval_clean(run: Run, payload: dict[str, Any]) -> dict[str, Any]:
    """An evaluation, without scores where the run has no labels, or of too few rows to tell of no single one."""
    if payload["rows"] >= LEAST_SCORED and labels_of(run.config):
        return payload
    return {**payload, "accuracy": None, "macro_f1": None}


def _moment(run: Run, at: datetime) -> datetime:
    """A record's own time, but never one in the future, nor a day and more before the run: then it is the hub's.

    The record is worth more than its time: a machine whose clock is wrong loses none.
    """
    now = timezone.now()
    return at if run.created_at - _CLOCK <= at <= now else now


def _step_check(run: Run, record: TelemetryRecord) -> None:
    """Refuse (CL-1415) what counts for a step that the run does not have."""
    if record.kind in _COUNTED and record.step is not None and 0 < run.total_steps < record.step:
        raise AppError("CL-1415", f"A record refers to step {record.step}, but the run has {run.total_steps}.")


def _event_check(participant: Participant, record: TelemetryRecord) -> None:
    """Refuse (CL-1415) an event that is the hub's to tell, or another role's."""
    if record.kind == "event" and record.payload.get("name") not in EVENTS[Role(participant.role)]:
        raise AppError("CL-1415", f"A {participant.role} can't report an event with this name.")


def records_append(*, run: Run, participant: Participant, records: list[TelemetryRecord]) -> list[Record]:
    """Number and store records of a part of a locked run. Raises CL-1415 for one that is malformed."""
    rows = []
    for record in records:
        _step_check(run, record)
        _event_check(participant, record)
    for number, record in enumerate(records, start=run.record_count + 1):
        payload = payload_clean(kind=record.kind, payload=record.payload)
        rows.append(
            Record(
                run=run,
                seq=number,
                participant=participant,
                worker_seq=record.seq,
                kind=record.kind,
                step=record.step,
                payload=_eval_clean(run, payload) if record.kind == "eval" else payload,
                at=_moment(run, record.at),
            )
        )
    Record.objects.bulk_create(rows)
    run.record_count += len(rows)
    run.save(update_fields=["record_count"])
    return rows


@service
def event_record(
    *,
    run: Run,
    name: HubEvent,
    detail: str = "",
    error: ErrorInfo | None = None,
    participant: Participant | None = None,
) -> Record:
    """Store an event of the hub's own on the run's timeline."""
    row = run_lock(run.pk)
    payload = EventPayload(name=name, detail=detail, error=error)
    row.record_count += 1
    record = Record.objects.create(
        run=row,
        seq=row.record_count,
        participant=participant,
        kind="event",
        step=row.step or None,
        payload=payload.model_dump(mode="json"),
        at=timezone.now(),
    )
    row.save(update_fields=["record_count"])
    notify_run(row.id, row.record_count)
    return record
