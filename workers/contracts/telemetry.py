"""The records of a run, and the names that may stand on its timeline."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from splitcore.bounds import Count, Free, Measure, Moment, Seconds, Short, Small, Text
from workers.contracts.artefacts import Share
from workers.contracts.base import Desired, ErrorInfo, HubMessage, Message, Phase, Role, Since


class MetricPayload(Message):
    """One optimiser step of one party. Seconds are wall time of that step; bytes are this step's."""

    loss: Measure = None  # token-weighted mean over this party's rows (clients; server in vanilla)
    tokens: Count = 0  # target tokens
    seen_tokens: Count = 0  # all tokens that went through
    learning_rate: Measure = None
    grad_norm: Measure = None
    seconds: Seconds = 0.0
    compute_s: Seconds = 0.0
    send_s: Seconds = 0.0
    wait_s: Seconds = 0.0
    bytes_up: Count = 0  # client → server
    bytes_down: Count = 0


class EvalPayload(Message):
    """An evaluation on held-out rows."""

    loss: Measure  # None: not available because of a NaN or infinite value
    tokens: Count
    rows: Count = 0
    # of a task with labels; none of fewer rows than tell of no single one
    accuracy: Annotated[Share | None, Since(8)] = None
    macro_f1: Annotated[Share | None, Since(8)] = None


class SamplePayload(Message):
    """Generations on the fixed public prompts (never on an organisation's rows)."""

    prompts: list[Text] = Field(max_length=8)
    base: list[Text] = Field(default_factory=list, max_length=8)
    tuned: list[Text] = Field(default_factory=list, max_length=8)


class PhasePayload(Message):
    """A party entered a phase."""

    phase: Phase
    detail: Text = ""


class WorkerEvent(StrEnum):
    """What a half may put on the timeline, in the past tense; `EVENTS` says which role may tell which."""

    CHECKPOINT_SAVED = "checkpoint.saved"
    CHECKPOINT_RESUMED = "checkpoint.resumed"
    CHECKPOINT_IGNORED = "checkpoint.ignored"
    VALUES_NOT_FINITE = "values.not_finite"
    PARTY_LATE = "party.late"
    ROWS_LEFT_OUT = "rows.left_out"


class HubEvent(StrEnum):
    """What the hub alone puts on the timeline; refused from a worker."""

    RUN_DRAFT = "run.draft"
    RUN_AWAITING_APPROVAL = "run.awaiting_approval"
    RUN_DECLINED = "run.declined"
    RUN_APPROVED = "run.approved"
    RUN_STARTING = "run.starting"
    RUN_TRAINING = "run.training"
    RUN_RECOVERING = "run.recovering"
    RUN_PAUSED = "run.paused"
    RUN_FINISHING = "run.finishing"
    RUN_DONE = "run.done"
    RUN_FAILED = "run.failed"
    RUN_STOPPING = "run.stopping"
    RUN_STOPPED = "run.stopped"
    RUN_FAILING = "run.failing"
    RUN_GAVE_WAY = "run.gave_way"
    RUN_HELD = "run.held"
    RUN_NOTE = "run.note"
    RUN_RELEASED = "run.released"
    APPROVAL_APPROVED = "approval.approved"
    APPROVAL_DECLINED = "approval.declined"
    POLICY_ACCEPTED = "policy.accepted"
    POLICY_REFUSED = "policy.refused"
    POLICY_WAITING = "policy.waiting"
    JOB_UNKNOWN = "job.unknown"
    START_HELD = "start.held"
    STOP_UNCONFIRMED = "stop.unconfirmed"
    PARTICIPANT_CLAIMED = "participant.claimed"
    PARTICIPANT_DROPPED = "participant.dropped"
    PARTICIPANT_RETURNED = "participant.returned"
    PARTICIPANT_DONE = "participant.done"
    PARTICIPANT_FAILED = "participant.failed"
    PARTICIPANT_STOPPED = "participant.stopped"
    SERVER_READY = "server.ready"
    SEGMENT_STORED = "segment.stored"
    ADAPTER_JOINED = "adapter.joined"
    ADAPTER_VERIFIED = "adapter.verified"
    HUB_RESTORED = "hub.restored"
    HUB_RETURNED = "hub.returned"


class EventPayload(Message):
    """Something that belongs on the timeline: `name` is a WorkerEvent or a HubEvent, `error` is there if it is one."""

    name: Short
    detail: Text = ""
    error: ErrorInfo | None = None
    # whose value was not finite, or who was late: a party of the contract, or `server`
    source: Annotated[str, StringConstraints(pattern=r"^([a-z0-9][a-z0-9-]{0,59})?$"), Since(4)] = ""
    in_evaluation: Annotated[bool, Since(4)] = False  # the value was met where held-out rows are measured


_CHECKPOINTS = frozenset({WorkerEvent.CHECKPOINT_SAVED, WorkerEvent.CHECKPOINT_RESUMED, WorkerEvent.CHECKPOINT_IGNORED})
# What a half may put on the timeline, by its role. Every other name is the hub's own, and refused from a worker.
EVENTS: dict[Role, frozenset[WorkerEvent]] = {
    Role.CLIENT: _CHECKPOINTS | {WorkerEvent.VALUES_NOT_FINITE, WorkerEvent.ROWS_LEFT_OUT},
    Role.SERVER: _CHECKPOINTS | {WorkerEvent.VALUES_NOT_FINITE, WorkerEvent.PARTY_LATE},
    Role.EVALUATOR: frozenset(),
}


class LogPayload(Message):
    """A typed log line: a known message of ours with numbers, never a raw line or an exception's text."""

    level: Literal["debug", "info", "warning", "error"]
    message: Text


PAYLOADS: dict[str, type[Message]] = {
    "metric": MetricPayload,
    "eval": EvalPayload,
    "sample": SamplePayload,
    "phase": PhasePayload,
    "event": EventPayload,
    "log": LogPayload,
}
RecordKind = Literal["metric", "eval", "sample", "phase", "event", "log"]


class TelemetryRecord(Message):
    """One record in the worker's own numbering (per participant, from 1, without gaps across attempts)."""

    seq: Count = Field(ge=1)
    kind: RecordKind
    step: Small | None = None
    at: Moment
    payload: Free  # validated by PAYLOADS[kind]


class TelemetryBatch(Message):
    """`POST runs/{run_id}/telemetry`. Sending a batch again changes nothing."""

    participant_id: Short
    attempt: Small
    records: list[TelemetryRecord] = Field(max_length=500)


class TelemetryReply(HubMessage):
    """How far the hub has stored, and what it wants now."""

    stored_through: Count
    desired: Desired
