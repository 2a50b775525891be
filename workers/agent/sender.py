"""From the spool to the hub: records in batches, then the messages that must arrive, in order, until it has them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from workers import contracts
from workers.agent.spool import BATCH, OutboxItem, Pending, Spool
from workers.contracts import Desired, LogPayload, TelemetryBatch, TelemetryReply
from workers.hub import HubClient, HubError

log = logging.getLogger(__name__)
BODY_BYTES = 700_000  # a batch stays below the hub's limit for one message
BODIES: dict[str, type[contracts.Message]] = {
    "ready": contracts.Ready,
    "exit": contracts.Exit,
    "verified": contracts.VerifyReport,
}
GONE_STATUS = (404,)
GONE_CODES = ("CL-1404", "CL-1502", "CL-1503", "CL-1504")  # not this worker's business any more


class Sender:
    """Sends what waits. Each call goes as far as the hub lets it; HubError (transient) means: try again later."""

    def __init__(self, spool: Spool, hub: HubClient, on_desired: Callable[[str, int, Desired], None]) -> None:
        self._spool, self._hub, self._on_desired = spool, hub, on_desired
        self._limit = BATCH

    def send_all(self) -> None:
        """Send what is there. Raises HubError when the hub is away."""
        more = True
        while more:
            more = False
            for pending in self._spool.pending(limit=self._limit):
                more = self._send_records(pending) or more
        waiting = {pending.participant_id for pending in self._spool.pending(limit=1)}
        for item in self._spool.outbox():
            if item.kind == "ready" or item.participant_id not in waiting:
                self._send_message(item)

    def _send_records(self, pending: Pending) -> bool:
        """Send the next batch of one participant; says whether there is another one to send at once."""
        records = _fitting(pending)
        batch = TelemetryBatch(participant_id=pending.participant_id, attempt=pending.attempt, records=records)
        try:
            reply = self._hub.call("POST", f"/runs/{pending.run_id}/telemetry", batch, reply=TelemetryReply)
        except HubError as error:
            if error.transient:
                raise
            self._refused(pending, batch, error)
            return True
        more = len(records) < len(pending.records) or len(pending.records) == self._limit
        self._limit = BATCH
        self._spool.stored(pending.participant_id, reply.stored_through)
        self._on_desired(pending.participant_id, pending.attempt, reply.desired)
        return more and reply.stored_through >= records[-1].seq

    def _refused(self, pending: Pending, batch: TelemetryBatch, error: HubError) -> None:
        """Drop what is nobody's business any more; find the one record that the hub does not take and replace it."""
        if error.status in GONE_STATUS or error.code in GONE_CODES:
            log.warning("the hub does not take records of %s: %s", pending.participant_id, error.code)
            self._spool.stored(pending.participant_id, batch.records[-1].seq)
        elif len(batch.records) > 1:
            self._limit = max(1, len(batch.records) // 2)
        else:
            self._limit = BATCH
            record = batch.records[0]
            if record.kind == "log":
                raise error
            note = LogPayload(level="warning", message=f"A {record.kind} record was refused by the hub ({error.code}).")
            self._spool.replace(pending.participant_id, record.seq, "log", note)

    def _send_message(self, item: OutboxItem) -> None:
        try:
            self._deliver(item)
        except HubError as error:
            if error.transient:
                raise
            log.warning("the hub refused %s of %s: %s", item.kind, item.participant_id, error.code)
            self._spool.sent(item, refused=error.code)
        except OSError as error:
            log.warning("%s of %s cannot be read: %s", item.kind, item.participant_id, type(error).__name__)
            self._spool.sent(item, refused="CL-1701")
        else:
            self._spool.sent(item)

    def _deliver(self, item: OutboxItem) -> None:
        path = f"/runs/{item.run_id}"
        if item.kind in ("segment", "tokenizer"):
            file = Path(item.file)
            place = f"segments/{file.stem}" if item.kind == "segment" else f"tokenizer/{file.name}"
            self._hub.upload(f"{path}/{place}", contracts.SegmentUpload.model_validate_json(item.body), file)
            return
        self._hub.post(f"{path}/{item.kind}", BODIES[item.kind].model_validate_json(item.body))


def _fitting(pending: Pending) -> list[contracts.TelemetryRecord]:
    """As many records as fit into one message, at least one."""
    chosen: list[contracts.TelemetryRecord] = []
    size = 0
    for record in pending.records:
        size += len(json.dumps(record.payload)) + 200
        if chosen and size > BODY_BYTES:
            break
        chosen.append(record)
    return chosen
