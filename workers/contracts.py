"""Every message between the hub and a worker, and the names of the jobs. No torch, no Django, no Celery.

The hub and the workers both import this module and workers/versions.py, and nothing else of each other. Bodies are
strict: an unknown key is refused, and every number, text, list and moment has bounds, so that no message has room for a
row of a dataset and none is too large for a column or a page.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from splitcore.bounds import MODEL_ID, REVISION, Count, Free, Measure, Moment, Seconds, Short, Small, Text

PROTOCOL_VERSION = 3  # the newest that this code reads and writes; raised with each field that is added
OLDEST_PROTOCOL = 2  # the oldest; a field that came later bears `Since` and is left out for an end that is older
API_PREFIX = "/api/worker/v1"
SOCKET_PATH = "/ws/worker/"

CHECKPOINT_DAYS = 7  # for so long a worker keeps the checkpoints of a run that has failed or was stopped

# Site-local Celery: one queue, two tasks, the run's and participant's ids as the only arguments (a doorbell).
QUEUE = "cutlayer"
TASK_SUPERVISE = "workers.jobs.supervise"

ASSIGNMENTS = 1000  # parts in one answer: what runs first, contracts to judge last; the others follow as these end
CONTRACT_CHARACTERS = 1 << 20
MESSAGE_BYTES_MAX = 1 << 40

Pem = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[\n\r -~]*$")]
Address = Annotated[str, StringConstraints(max_length=200, pattern=r"^[!-~]*$")]  # a URL, or nothing
Version = Annotated[str, StringConstraints(max_length=40, pattern=r"^[ -~]*$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Party = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]


@dataclass(frozen=True)
class Since:
    """Marks a field with the protocol's version in which it was added."""

    version: int


class Message(BaseModel):
    """Base of every body: strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class HubMessage(Message):
    """Base of what the hub tells a worker: a newer hub may tell more, and an older worker passes over it.

    What a worker may act on is in the contract, which stays strict: a field that cannot be checked is refused.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)


class Role(StrEnum):
    """The part of a worker in a run."""

    CLIENT = "client"
    SERVER = "server"
    EVALUATOR = "evaluator"


class Desired(StrEnum):
    """What the hub wants of a participant."""

    NONE = "none"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class Phase(StrEnum):
    """What a participant is doing; `DROPPED` is the hub's own verdict on silence."""

    WAITING = "waiting"
    STARTING = "starting"
    LOADING_MODEL = "loading_model"
    ADMISSION = "admission"
    LOADING_DATA = "loading_data"
    CONNECTING = "connecting"
    TRAINING = "training"
    EVALUATING = "evaluating"
    PAUSED = "paused"
    FINISHING = "finishing"
    UPLOADING = "uploading"
    VERIFYING = "verifying"
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"
    DROPPED = "dropped"


class Check(Message):
    """One line of a checklist (doctor, adapter checks)."""

    name: Short
    status: Literal["ok", "warning", "failed", "pending"]
    detail: Text = ""
    code: Short = ""
    remedy: Text = ""


class ErrorInfo(Message):
    """An error as it travels: code, sentence and remedy of the catalogue; never an exception's text."""

    code: Annotated[str, StringConstraints(pattern=r"^CL-\d{4}$")]
    message: Text
    remedy: Text = ""
    where: Short = ""  # exception class and our own file:line


# ── Enrolment and presence ────────────────────────────────────────────────────────────────────────────────────────


class WorkerSpeed(Message):
    """What a worker measured of itself with a short matrix product: floating-point operations a second.

    An upper bound of what training reaches; the hub's estimate before a first run starts from it.
    """

    device: Literal["cpu", "gpu"]
    float32: float = Field(gt=0, le=1e18, allow_inf_nan=False)
    bfloat16: float = Field(0, ge=0, le=1e18, allow_inf_nan=False)  # 0: not measured; the estimate then takes float32


class Gpu(Message):
    """One GPU as the driver lists it."""

    index: Small | None = None
    name: Short = ""
    memory_bytes: Count = 0
    free_bytes: Count = 0
    driver: Short = ""
    busy: Small | None = None


class WorkerFacts(Message):
    """Hardware and versions, as shown on the worker's page."""

    cutlayer: Version
    python: Short = ""
    torch: Short = ""
    platform: Short = ""
    cpus: Small = 0
    memory_bytes: Count = 0
    disk_free_bytes: Count = 0
    gpus: list[Gpu] = Field(default_factory=list, max_length=64)
    speed: WorkerSpeed | None = None  # none before the worker has examined itself
    tensor_host: Short = ""  # where client halves reach this site's server half
    tensor_ports: Annotated[list[Port], Field(max_length=2)] = Field(default_factory=list)  # first, last


class PolicySummary(Message):
    """The site policy's limits, as told to the hub (the file itself stays on the worker, which enforces it)."""

    topologies: list[Short] = Field(default_factory=list, max_length=8)
    min_head_layers: Small = 0
    min_tail_layers: Small = 0
    models: list[Text] = Field(default_factory=list, max_length=200)  # allowed ids or manifest hashes; empty: any
    max_steps: Count | None = None
    hosts: list[Short] = Field(default_factory=list, max_length=200)  # allowed tensor hosts; empty: any
    peer_trust: Literal["first_use", "listed"] = "listed"


class EnrolRequest(Message):
    """`POST enrol`: the one request that carries the token instead of a signature."""

    token: Short
    certificate_pem: Pem
    protocol: Small = PROTOCOL_VERSION
    facts: WorkerFacts
    console_url: Address = ""
    sent_at: Moment  # for the clock check


class EnrolReply(HubMessage):
    """What a worker keeps of its enrolment."""

    worker_id: Short
    worker_name: Short
    kind: Literal["data", "compute", "both"]
    organisation_id: Short
    organisation_name: Short
    fingerprint: Hex64
    hub_public_key_pem: Annotated[Pem, StringConstraints(max_length=2000)]  # upload tickets are signed with it
    beat_seconds: Annotated[int, Field(ge=1, le=3600)]
    hub_time: Moment


class RotateRequest(Message):
    """`POST rotate`, signed with the current key: the next certificate, in force from the reply (an EnrolReply) on."""

    certificate_pem: Pem
    # by the next key, over `rotation_input`: base64, as in the header of a request
    proof: Annotated[str, StringConstraints(max_length=200, pattern=r"^[A-Za-z0-9+/=]*$"), Since(3)] = ""


class Lane(Message):
    """What one job of a worker is doing."""

    run_id: Short = ""
    participant_id: Short = ""
    attempt: Small = 0
    phase: Phase | None = None
    step: Small | None = None
    role: Role | None = None
    kind: Short = ""


class Beat(Message):
    """Worker → hub over the socket, every `beat_seconds`: alive, and what each lane is doing."""

    type: Literal["beat"] = "beat"
    lanes: list[Lane] = Field(default_factory=list, max_length=64)


class Hello(Message):
    """Worker → hub, first message on the socket; sent again when a fact changes."""

    type: Literal["hello"] = "hello"
    protocol: Small = PROTOCOL_VERSION
    facts: WorkerFacts
    checks: list[Check] = Field(default_factory=list, max_length=64)
    policy: PolicySummary = PolicySummary()
    console_url: Address = ""


WAKE_COPY = "copy"  # the reason of a wake that tells a worker of a second one with its key


class Wake(HubMessage):
    """Hub → worker over the socket: a doorbell. The worker then asks `GET assignments`, which is the truth."""

    type: Literal["wake"] = "wake"
    reason: Short = ""


# ── Assignments ───────────────────────────────────────────────────────────────────────────────────────────────────


class Assignment(HubMessage):
    """One part in one run, as `GET assignments` tells it. `contract` is the very text whose SHA-256 was approved."""

    run_id: Short
    participant_id: Short
    party: Party
    role: Role
    attempt: Small  # the highest handed out so far
    wanted_attempt: Small = 1  # what runs under a lower one is to end; then the part is taken up again
    kind: Literal["review", "train", "evaluate", "verify"]  # review: check the policy only; nothing is started
    desired: Desired
    contract: Annotated[str, StringConstraints(max_length=CONTRACT_CHARACTERS)]
    contract_hash: Hex64
    server_address: Short = ""  # host:port, once the server half listens
    server_attempt: Small = 0
    client_attempts: dict[Party, Small] = Field(
        default_factory=dict, max_length=64
    )  # lower ones are over; see `wanted_attempt`
    stop_confirmed: bool = False
    adapter_url: Text = ""  # evaluate/verify: path below the hub's address
    adapter_sha256: Short = ""
    adapter_id: Short = ""
    # PEM certificates of the participants: the tensor channel's trust roots. A worker uses one only where its SHA-256
    # is a fingerprint of the contract that it checked.
    certificates: list[Pem] = Field(default_factory=list, max_length=64)


class ChainHead(HubMessage):
    """Where the hub's audit chain ends: every worker keeps the highest that it was told (workers/witness.py)."""

    epoch: Short = ""  # another one after each restore of the hub from a backup
    sequence: Count = 0
    head: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")] = ""  # the entry's hash


class ChainLoss(Message):
    """The hub's audit chain does not go on from where it was: the end that a worker kept, and the one shown since."""

    kind: Literal["restored", "lost", "rewritten", "hidden"]  # hidden: the hub shows no end at all any more
    kept: ChainHead
    shown: ChainHead


class WitnessReport(Message):
    """`POST witness`: what a worker found of the chain. None: the site's people accept the chain as it is now."""

    loss: ChainLoss | None = None


class Assignments(HubMessage):
    """The whole list; what is not in it is no longer this worker's business."""

    assignments: list[Assignment] = Field(max_length=ASSIGNMENTS)
    hub_time: Moment
    # runs of this worker that are over for good: their checkpoints may go
    settled: list[Short] = Field(default_factory=list, max_length=200)
    # the worker's own note: participants of entries that it could not read (workers/assigned.py); the hub sends none
    unread: Annotated[list[Short], Since(3)] = Field(default_factory=list, max_length=ASSIGNMENTS)
    chain: Annotated[ChainHead | None, Since(3)] = None


# A refusal with this field alone is none: the site approves contracts itself, and its people have not done so yet.
SITE_APPROVAL = "approve"
# This one alone: the site has admitted another contract under the run's id, and will admit no second one.
OTHER_CONTRACT = "contract.other"


class PolicyRefusal(Message):
    """One rule of the site that a contract breaks."""

    field: Short
    message: Text
    limit: Short = ""


class PolicyVerdict(Message):
    """`POST runs/{run_id}/verdict`."""

    participant_id: Short
    contract_hash: Hex64
    accepted: bool
    refusals: list[PolicyRefusal] = Field(default_factory=list, max_length=50)


class Claim(Message):
    """`POST runs/{run_id}/claim`: a job asks for its part before it starts. The reply's attempt is its fence."""

    participant_id: Short
    contract_hash: Hex64
    job_id: Short
    highest_attempt: Annotated[Small, Since(3)] = (
        0  # that this worker has ever got for the part: a restored hub goes on above it
    )


class ClaimReply(HubMessage):
    """The new attempt: every message of an older one is refused with CL-1503."""

    attempt: Small
    desired: Desired


class Ready(Message):
    """`POST runs/{run_id}/ready`: the server half listens here."""

    participant_id: Short
    attempt: Small
    host: Annotated[str, StringConstraints(max_length=110, pattern=r"^[!-~]*$")]
    port: int = Field(ge=1, le=65535)


class Exit(Message):
    """`POST runs/{run_id}/exit`: the half's process is gone. With desired=stopped this is the confirmation."""

    participant_id: Short
    attempt: Small
    outcome: Literal["done", "failed", "stopped"]
    error: ErrorInfo | None = None
    checkpoint_step: Small | None = None


# ── Telemetry ─────────────────────────────────────────────────────────────────────────────────────────────────────


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

    loss: Measure  # None: not available, since a value was not finite
    tokens: Count
    rows: Count = 0


class SamplePayload(Message):
    """Generations on the fixed public prompts (never on an organisation's rows)."""

    prompts: list[Text] = Field(max_length=8)
    base: list[Text] = Field(default_factory=list, max_length=8)
    tuned: list[Text] = Field(default_factory=list, max_length=8)


class PhasePayload(Message):
    """A party entered a phase."""

    phase: Phase
    detail: Text = ""


class EventPayload(Message):
    """Something that belongs on the timeline: `name` in the past tense (checkpoint.saved), `error` if it is one."""

    name: Short
    detail: Text = ""
    error: ErrorInfo | None = None


_CHECKPOINTS = frozenset({"checkpoint.saved", "checkpoint.resumed", "checkpoint.ignored"})
# What a half may put on the timeline, by its role. Every other name is the hub's own, and refused from a worker.
EVENTS: dict[Role, frozenset[str]] = {
    Role.CLIENT: _CHECKPOINTS | {"values.not_finite"},
    Role.SERVER: _CHECKPOINTS | {"values.not_finite", "party.late"},
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


# ── Datasets, models, artefacts ───────────────────────────────────────────────────────────────────────────────────


class Histogram(Message):
    """Token lengths: `edges` has one more entry than `counts`."""

    edges: list[Count] = Field(max_length=65)
    counts: list[Count] = Field(max_length=64)


class DatasetMetadata(Message):
    """All that leaves a data organisation about a dataset. No field has room for a row."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,79}$")]
    version: Small = Field(ge=1)
    format: Literal["prompt_completion", "messages", "text"]
    source: Literal["jsonl", "csv", "parquet"]
    rows: Count
    train_rows: Count
    heldout_rows: Count
    columns: list[Short] = Field(default_factory=list, max_length=64)
    tokenizer: Short = ""
    token_lengths: Histogram | None = None
    longest_tokens: Count | None = None
    digest: Hex64  # HMAC-SHA256 under the site's own key
    created_at: Moment


class ModelRegistration(Message):
    """`POST models`: a base model that this worker has mapped and verified."""

    model_id: Annotated[str, StringConstraints(max_length=400, pattern=MODEL_ID)]
    revision: Annotated[str, StringConstraints(max_length=100, pattern=REVISION)] = ""
    manifest_hash: Hex64
    config: Free  # config.json of the model, at most 64 KiB
    parameters: Count
    bytes: Count


class SegmentUpload(Message):
    """Query of `PUT runs/{run_id}/segments/{name}` (safetensors) and `PUT runs/{run_id}/tokenizer/{name}` (pinned)."""

    participant_id: Short
    attempt: Small
    sha256: Hex64


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class EvaluationResult(Message):
    """What a data party measured on its own held-out rows with the joined adapter."""

    base_loss: Measure  # None: not available, since a value was not finite
    base_exact_match: Share
    loss: Measure
    exact_match: Share
    rows: Count
    tokens: Count


class VerifyReport(Message):
    """`POST runs/{run_id}/verified`: load checks of the joined adapter, and the evaluation where rows are held."""

    participant_id: Short
    adapter_id: Short
    adapter_sha256: Hex64
    checks: list[Check] = Field(max_length=32)
    evaluation: EvaluationResult | None = None


# ── The contract ──────────────────────────────────────────────────────────────────────────────────────────────────


class ContractParticipant(Message):
    """One party of a contract. `fingerprint` pins its tensor certificate."""

    party: Party
    role: Role
    organisation_id: Short
    organisation: Short
    worker_id: Short
    worker: Short
    fingerprint: Hex64
    dataset: Short = ""
    dataset_version_id: Short = ""
    dataset_version: Small | None = None
    dataset_digest: Short = ""
    receives_adapter: bool = True


class ContractDocument(Message):
    """What the organisations approve. Its canonical JSON is hashed; a worker re-hashes the bytes that it received."""

    contract_version: Literal[1] = 1
    run_id: Short
    run_name: Short
    project_id: Short
    project: Short
    config: Free  # splitcore.RunConfig as JSON
    participants: list[ContractParticipant] = Field(min_length=1, max_length=64)
    public_prompts: list[Text] = Field(default_factory=list, max_length=8)
    message_bytes: int = Field(ge=1024, le=MESSAGE_BYTES_MAX)  # the largest tensor message
    traffic: list[Text] = Field(default_factory=list, max_length=32)  # in words: what crosses, from whom to whom


# ── Signed requests ───────────────────────────────────────────────────────────────────────────────────────────────

HEADER_PROTOCOL = "X-Cutlayer-Protocol"  # both ways: the newest version that this end reads; not signed, no secret
HEADER_WORKER = "X-Cutlayer-Worker"
HEADER_TIME = "X-Cutlayer-Time"  # seconds since the epoch, decimal
HEADER_NONCE = "X-Cutlayer-Nonce"  # 32 hex characters, never used twice
HEADER_SIGNATURE = "X-Cutlayer-Signature"  # base64 of the DER ECDSA-P256-SHA256 signature


def signing_input(method: str, path_and_query: str, timestamp: str, nonce: str, body_sha256: str) -> bytes:
    """The bytes that a worker signs with the key of its certificate, for HTTP requests and the socket's opening alike.

    For the socket the method is GET and the body is empty. A segment upload signs the file's SHA-256 as announced.
    """
    return "\n".join(["cutlayer-v1", method.upper(), path_and_query, timestamp, nonce, body_sha256]).encode()


def rotation_input(worker_id: str, present: str, next_: str) -> bytes:
    """The bytes that the holder of a worker's next key signs with it: fingerprints of the present one and the next."""
    return "\n".join(["cutlayer-rotate-v1", worker_id, present, next_]).encode()
