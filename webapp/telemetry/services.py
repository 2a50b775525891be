"""Storing what workers report: each record once, numbered without gaps within its run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.http import Http404
from django.utils import timezone
from pydantic import ValidationError

from splitcore.errors import AppError
from webapp.core.live import notify_run
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant, Run
from webapp.telemetry.models import Record
from workers.contracts import (
    EVENTS,
    PAYLOADS,
    Desired,
    ErrorInfo,
    EventPayload,
    Role,
    TelemetryBatch,
    TelemetryRecord,
    TelemetryReply,
)

_COUNTED = frozenset({"metric", "eval", "sample", "event"})  # what figures and checkpoints come from
_CLOCK = timedelta(days=1)  # how far a record's time may lie before its run


def batch_store(*, worker: Worker, run_id: str, batch: TelemetryBatch) -> TelemetryReply:
    """Store a batch for the worker's own part; another's does not exist for it."""
    participant = Participant.objects.filter(pk=batch.participant_id, run_id=run_id, worker=worker).first()
    if participant is None:
        raise Http404("No such part.")
    return records_store(participant=participant, batch=batch)


@service
def records_store(*, participant: Participant, batch: TelemetryBatch) -> TelemetryReply:
    """Store the records that are new and follow without a gap; the reply says how far the hub has come.

    Sending a batch again changes nothing. Records beyond a gap are left: the worker sends again from the reply's mark.
    """
    run = run_lock(participant.run_id)
    row = (
        Participant.objects.select_for_update(of=("self",), no_key=True)
        .select_related("organisation", "worker")
        .get(pk=participant.pk)
    )
    row.run = run
    _adopt(run, row, batch.attempt)
    if batch.attempt != row.attempt:
        raise AppError("CL-1503", details={"attempt": batch.attempt, "newest": row.attempt})
    fresh = _fresh(batch=batch, after=row.last_seq)
    if fresh:
        stored = _append(run=run, participant=row, records=fresh)
        row.last_seq = fresh[-1].seq
        row.save(update_fields=["last_seq", "updated_at"])
        _observed(row, stored)
        notify_run(run.id, run.record_count)
    desired = Desired.STOPPED if row.awaits_claim else Desired(run.desired)  # an interrupted attempt goes on in vain
    return TelemetryReply(stored_through=row.last_seq, desired=desired)


def _adopt(run: Run, participant: Participant, attempt: int) -> None:
    from webapp.runs.lifecycle.access import attempt_adopt, started_check  # as below

    started_check(run, participant, attempt)
    attempt_adopt(run, participant, attempt)


def _observed(participant: Participant, records: list[Record]) -> None:
    from webapp.runs.lifecycle.observing import records_observed  # runs' timeline stores its events through this module

    records_observed(participant=participant, records=records)


def _fresh(*, batch: TelemetryBatch, after: int) -> list[TelemetryRecord]:
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


def _moment(run: Run, at: datetime) -> datetime:
    """A record's own time, but never one in the future, nor a day and more before the run: then it is the hub's.

    The record is worth more than its time: a machine whose clock is wrong loses none.
    """
    now = timezone.now()
    return at if run.created_at - _CLOCK <= at <= now else now


def _step_check(run: Run, record: TelemetryRecord) -> None:
    """Refuse (CL-1415) what counts for a step that the run does not have."""
    if record.kind in _COUNTED and record.step is not None and 0 < run.total_steps < record.step:
        raise AppError("CL-1415", f"A record names step {record.step} of a run of {run.total_steps}.")


def _event_check(participant: Participant, record: TelemetryRecord) -> None:
    """Refuse (CL-1415) an event that is the hub's to tell, or another role's."""
    if record.kind == "event" and record.payload.get("name") not in EVENTS[Role(participant.role)]:
        raise AppError("CL-1415", f"An event of this name is none of a {participant.role}'s.")


def _append(*, run: Run, participant: Participant, records: list[TelemetryRecord]) -> list[Record]:
    rows = []
    for record in records:
        _step_check(run, record)
        _event_check(participant, record)
    for number, record in enumerate(records, start=run.record_count + 1):
        rows.append(
            Record(
                run=run,
                seq=number,
                participant=participant,
                worker_seq=record.seq,
                kind=record.kind,
                step=record.step,
                payload=payload_clean(kind=record.kind, payload=record.payload),
                at=_moment(run, record.at),
            )
        )
    Record.objects.bulk_create(rows)
    run.record_count += len(rows)
    run.save(update_fields=["record_count"])
    return rows


@service
def event_record(
    *, run: Run, name: str, detail: str = "", error: ErrorInfo | None = None, participant: Participant | None = None
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
