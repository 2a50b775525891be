"""What a worker reports of its part: stored once, without gaps, and taken up in the run's rows."""

from __future__ import annotations

from django.http import Http404

from splitcore.errors import AppError
from webapp.core.live import notify_run
from webapp.core.transactions import service
from webapp.fleet.models import Worker
from webapp.runs.fencing import attempt_adopt, started_check
from webapp.runs.lifecycle.observing import records_observed
from webapp.runs.locking import run_lock
from webapp.runs.models import Participant
from webapp.telemetry.services import records_append, records_fresh
from workers.contracts import Desired, TelemetryBatch, TelemetryReply


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
    started_check(run, row, batch.attempt)
    attempt_adopt(run, row, batch.attempt)
    if batch.attempt != row.attempt:
        raise AppError("CL-1503", details={"attempt": batch.attempt, "newest": row.attempt})
    fresh = records_fresh(batch=batch, after=row.last_seq)
    if fresh:
        stored = records_append(run=run, participant=row, records=fresh)
        row.last_seq = fresh[-1].seq
        row.save(update_fields=["last_seq", "updated_at"])
        records_observed(participant=row, records=stored)
        notify_run(run.id, run.record_count)
    desired = Desired.STOPPED if row.awaits_claim else Desired(run.desired)  # an interrupted attempt goes on in vain
    return TelemetryReply(stored_through=row.last_seq, desired=desired)
