"""From the spool to the hub: records in batches, then the messages that must arrive, in order, until delivered."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from splitcore.errors import CATALOGUE, AppError
from workers import contracts
from workers.contracts import Desired, LogPayload, TelemetryBatch, TelemetryRecord, TelemetryReply
from workers.errors import error_info
from workers.hub import HubClient, HubError
from workers.ledger.budget import CODE as OVER_BUDGET
from workers.ledger.budget import WithheldError
from workers.outbox.faults import Faults, Pauses, Search
from workers.outbox.spool import BATCH, KEPT, OutboxItem, Pending, Spool, StaleAttemptError

log = logging.getLogger(__name__)
BODY_BYTES = 700_000  # a batch stays below the hub's limit for one message
BODIES: dict[str, type[contracts.Message]] = {
    "ready": contracts.Ready,
    "exit": contracts.Exit,
    "verified": contracts.VerifyReport,
}
NOTE = "What was recorded here is missing: a"  # the beginning of a note that replaces something else
LOST = LogPayload(
    level="warning",
    message=f"{NOTE} restored hub asked for it again, and a worker keeps only the newest {KEPT} records.",
)
GONE_STATUS = (404,)
GONE_CODES = ("CL-1404", "CL-1502", "CL-1503", "CL-1504")  # no longer this worker's concern


class Sender:
    """Sends what is waiting. Each call gets as far as the hub allows. HubError: the hub is down, try again later.

    What the hub refuses is replaced or marked; so is, after ten times, what it fails at itself while it takes other
    things. An outage (no answer, or a proxy's 502 to 504) never counts. An exit is never given up. What the hub does
    not take of one participant rests for a while of its own; the others' records and messages go on.

    What goes beyond the site's budget for a run is not sent: records stay here, files are given up, the job is told by
    `over_budget`, and its exit, which always goes, goes as a failure.
    """

    def __init__(
        self,
        spool: Spool,
        hub: HubClient,
        on_desired: Callable[[str, int, Desired], None],
        *,
        over_budget: Callable[[str, int, AppError], None] = lambda participant_id, attempt, error: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool, self._hub, self._on_desired = spool, hub, on_desired
        self._over_budget = over_budget
        self._over: dict[str, AppError] = {}  # participant → why no more of it leaves
        self.faults, self._pauses, self._search = Faults(), Pauses(clock), Search()

    def send_all(self) -> None:
        """Send what is waiting, skipping what the hub rejects. Raises HubError if the hub accepts nothing."""
        self._send_all_records()
        waiting = {pending.participant_id for pending in self._spool.pending(limit=1)} - self._over.keys()
        for item in self._spool.outbox():
            pause = ("messages", item.participant_id)
            if self._pauses.rests(pause) or (item.kind != "ready" and item.participant_id in waiting):
                continue
            if self._send_message(item):
                self._pauses.end(pause)
            else:
                self._pauses.begin(pause)

    def is_urgent(self) -> bool:
        """Whether a message waits, and neither it nor the records before it rest."""
        return any(
            not any(self._pauses.rests((what, item.participant_id)) for what in ("records", "messages"))
            for item in self._spool.outbox()
        )

    def _send_all_records(self) -> None:
        """Send every participant's records, each until none is left or one is rejected."""
        more = True
        while more:
            more = False
            for pending in self._spool.pending(rests=lambda part: self._pauses.rests(("records", part))):
                try:
                    more = self._send_records(pending) or more
                except HubError as error:
                    if error.transient and not error.is_fault:
                        raise
                    self._pauses.begin(("records", pending.participant_id), longer=self._limit(pending) == 1)

    def _limit(self, pending: Pending) -> int:
        return self._search.limit(pending.participant_id, pending.stored_through, BATCH)

    def _send_records(self, pending: Pending) -> bool:
        """Send the next batch of one participant; returns whether there is another one to send at once."""
        fitting = _fitting(pending.records[: self._limit(pending)])
        records = [_by_hub_time(record, self._hub.signer.clock.offset) for record in fitting]
        batch = TelemetryBatch(participant_id=pending.participant_id, attempt=pending.attempt, records=records)
        try:
            reply = self._hub.call("POST", f"/runs/{pending.run_id}/telemetry", batch, reply=TelemetryReply)
        except HubError as error:
            self._records_failed(pending, batch, error)
            return True
        except WithheldError as error:
            self._withhold(pending, error)
            self._pauses.begin(("records", pending.participant_id))
            return False
        self._over.pop(pending.participant_id, None)
        if reply.stored_through < pending.stored_through:
            self._go_back(pending, reply.stored_through)
            return True
        self._pauses.end(("records", pending.participant_id))
        self.faults.accepted()
        self._spool.stored(pending.participant_id, reply.stored_through)
        self._on_desired(pending.participant_id, pending.attempt, reply.desired)
        more = len(records) < len(pending.records) or len(pending.records) == BATCH
        return more and reply.stored_through >= records[-1].seq

    def _withhold(self, of: Pending | OutboxItem, error: WithheldError) -> None:
        """End the half whose budget is spent. A policy or disk may be fixed soon: all waits, the run continues."""
        if error.code != OVER_BUDGET:
            log.error("nothing of %s is being sent: %s", of.participant_id, error)
            return
        if of.participant_id not in self._over:
            log.error("nothing more of %s is sent: %s", of.participant_id, error)
        self._over[of.participant_id] = error
        self._over_budget(of.participant_id, of.attempt, error)

    def _go_back(self, pending: Pending, through: int) -> None:
        """The hub has lost records because it was restored from a backup. Its state is authoritative."""
        log.warning(
            "the hub has %s up to record %d, it had %d: sending again from there",
            pending.participant_id,
            through,
            pending.stored_through,
        )
        self._spool.rewind(pending.participant_id, through, LOST)

    def _records_failed(self, pending: Pending, batch: TelemetryBatch, error: HubError) -> None:
        """Find the one record that the hub rejects and replace it; raise errors that are transient."""
        key = (batch.participant_id, batch.records[0].seq)
        if error.is_fault and len(batch.records) == 1 and self.faults.again(key):
            self._replace(batch.participant_id, batch.records[0], "CL-1911")
        elif error.is_fault:
            self._search.failed(batch.participant_id, batch.records[-1].seq)
            raise error
        elif error.transient or _is_behind(error, pending.attempt):
            raise error
        else:
            self._refused(pending, batch, error)

    def _refused(self, pending: Pending, batch: TelemetryBatch, error: HubError) -> None:
        """Drop what no longer concerns anyone; otherwise halve the batch until one record is left, and replace it."""
        record = batch.records[0]
        if error.status in GONE_STATUS or error.code in GONE_CODES:
            log.warning("the hub rejects records of %s: %s", pending.participant_id, error.code)
            self._spool.stored(pending.participant_id, batch.records[-1].seq)
        elif len(batch.records) > 1:
            self._search.failed(batch.participant_id, batch.records[-1].seq)
        elif record.payload.get("message", "").startswith(NOTE):
            raise error
        else:
            self._replace(pending.participant_id, record, error.code)

    def _replace(self, participant_id: str, record: TelemetryRecord, code: str) -> None:
        """Replace a record with a typed note: the numbering has no gap, and everyone sees what is missing."""
        log.warning("gave up on a %s record of %s: %s", record.kind, participant_id, code)
        note = LogPayload(level="warning", message=f"{NOTE} {record.kind} was rejected by the hub ({code}).")
        self._spool.replace(participant_id, record.seq, "log", note)
        self.faults.forget((participant_id, record.seq))

    def _send_message(self, item: OutboxItem) -> bool:
        """Send one message. False: it must be sent again, and later ones wait for it."""
        try:
            self._deliver(item)
        except HubError as error:
            return self._message_failed(item, error)
        except WithheldError as error:
            self._withhold(item, error)
            if error.code != OVER_BUDGET:
                return False
            self._give_up(item, error.code, told=False)
        except OSError as error:
            log.warning("%s of %s could not be read: %s", item.kind, item.participant_id, type(error).__name__)
            self._give_up(item, "CL-1701")
        else:
            self.faults.accepted()
            self._spool.sent(item)
        return True

    def _message_failed(self, item: OutboxItem, error: HubError) -> bool:
        """Give up on what is refused or has failed too often; an exit is sent again without its free text instead."""
        if error.transient and not error.is_fault:
            raise error
        if error.is_fault and not self.faults.again(item.id):
            return False
        gone = error.status in GONE_STATUS or error.code in GONE_CODES
        if item.kind == "exit" and not gone:
            self.faults.forget(item.id)
            self._spool.rewrite(item, _bare_exit(item))
            return False
        self._give_up(item, "CL-1911" if error.is_fault else error.code, told=not gone)
        return True

    def _give_up(self, item: OutboxItem, code: str, *, told: bool = True) -> None:
        """Mark a message as refused; `told` on the run's own log, unless nobody there waits for it any more."""
        log.warning("gave up on %s of %s: %s", item.kind, item.participant_id, code)
        self._spool.sent(item, refused=code)
        self.faults.forget(item.id)
        if not told:
            return
        note = LogPayload(level="warning", message=f"{NOTE} {item.kind} was rejected by the hub ({code}).")
        with contextlib.suppress(StaleAttemptError):
            self._spool.record(
                participant_id=item.participant_id, attempt=item.attempt, kind="log", payload=note, step=None
            )

    def _deliver(self, item: OutboxItem) -> None:
        path = f"/runs/{item.run_id}"
        if item.kind in ("segment", "tokenizer"):
            file = Path(item.file)
            place = f"segments/{file.stem}" if item.kind == "segment" else f"tokenizer/{file.name}"
            self._hub.upload(f"{path}/{place}", contracts.SegmentUpload.model_validate_json(item.body), file)
            return
        form = contracts.exit_form(item.body) if item.kind == "exit" else BODIES[item.kind]
        body = form.model_validate_json(item.body)
        if isinstance(body, contracts.Exit) and body.outcome == "done" and (cause := self._not_all_left(item)):
            body = body.model_copy(update={"outcome": "failed", "error": error_info(cause)})
        self._hub.post(f"{path}/{item.kind}", body)

    def _not_all_left(self, item: OutboxItem) -> AppError | None:
        """Why a finished part hasn't sent everything: records that stay here, or a file that was given up on."""
        if self._spool.was_refused(item.participant_id, item.attempt, OVER_BUDGET):
            return self._over.get(item.participant_id, AppError(OVER_BUDGET))
        return self._over.get(item.participant_id)


def _bare_exit(item: OutboxItem) -> contracts.Exit:
    """An exit with only the catalogue's text, which the hub can't reject.

    A job whose figures are rejected has failed.
    """
    told = contracts.exit_form(item.body).model_validate_json(item.body)
    if type(told) is not contracts.Exit and told.outcome == "done":
        told = told.model_copy(update={"outcome": "failed", "error": told.error or error_info("CL-1415")})
    error = None
    if told.error is not None:
        code = told.error.code if told.error.code in CATALOGUE else "CL-1999"
        error = contracts.ErrorInfo(code=code, message=CATALOGUE[code].title, remedy=CATALOGUE[code].remedy)
    return contracts.Exit(
        participant_id=told.participant_id,
        attempt=told.attempt,
        outcome=told.outcome,
        error=error,
        checkpoint_step=told.checkpoint_step,
        kind=told.kind,
        subject=told.subject,
    )


def _is_behind(error: HubError, attempt: int) -> bool:
    """Whether the hub only has older attempts on record, as after a restore, until the part is claimed again."""
    newest = error.details.get("newest")
    return isinstance(newest, int) and newest < attempt


def _by_hub_time(record: TelemetryRecord, offset: float) -> TelemetryRecord:
    """A record dated by the hub's clock, so that workers with differing clocks share one timeline."""
    return record.model_copy(update={"at": record.at + timedelta(seconds=offset)})


def _fitting(records: Sequence[TelemetryRecord]) -> list[TelemetryRecord]:
    """As many records as fit into one message, at least one."""
    chosen: list[TelemetryRecord] = []
    size = 0
    for record in records:
        size += len(json.dumps(record.payload)) + 200
        if chosen and size > BODY_BYTES:
            break
        chosen.append(record)
    return chosen
