"""Every message between the hub and a worker, and the names of the jobs. No torch, no Django, no Celery.

The hub and the workers both import this module and nothing else of each other. Bodies are strict: an unknown key is
refused, strings and lists are bounded, so that no message has room for a row of a dataset.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PROTOCOL_VERSION = 2
API_PREFIX = "/api/worker/v1"
SOCKET_PATH = "/ws/worker/"

CHECKPOINT_DAYS = 7  # for so long a worker keeps the checkpoints of a run that has failed or was stopped

# Site-local Celery: one queue, two tasks, the run's and participant's ids as the only arguments (a doorbell).
QUEUE = "cutlayer"
TASK_SUPERVISE = "workers.jobs.supervise"

Short = Annotated[str, StringConstraints(max_length=120)]
Text = Annotated[str, StringConstraints(max_length=600)]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Party = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,59}$")]


class Message(BaseModel):
    """Base of every body: strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    float32: float = Field(gt=0, le=1e18)
    bfloat16: float = Field(0, ge=0, le=1e18)  # 0: not measured; the estimate then takes float32


class WorkerFacts(Message):
    """Hardware and versions, as shown on the worker's page."""

    cutlayer: Short
    python: Short = ""
    torch: Short = ""
    platform: Short = ""
    cpus: int = Field(0, ge=0)
    memory_bytes: int = Field(0, ge=0)
    disk_free_bytes: int = Field(0, ge=0)
    gpus: list[dict[str, Any]] = Field(default_factory=list, max_length=64)  # name, memory_bytes, free_bytes
    speed: WorkerSpeed | None = None  # none before the worker has examined itself
    tensor_host: Short = ""  # where client halves reach this site's server half
    tensor_ports: Annotated[list[int], Field(max_length=2)] = Field(default_factory=list)  # first, last


class PolicySummary(Message):
    """The site policy's limits, as told to the hub (the file itself stays on the worker, which enforces it)."""

    topologies: list[Short] = Field(default_factory=list, max_length=8)
    min_head_layers: int = 0
    min_tail_layers: int = 0
    models: list[Text] = Field(default_factory=list, max_length=200)  # allowed ids or manifest hashes; empty: any
    max_steps: int | None = None
    hosts: list[Short] = Field(default_factory=list, max_length=200)  # allowed tensor hosts; empty: any
    peer_trust: Literal["first_use", "listed"] = "first_use"


class EnrolRequest(Message):
    """`POST enrol`: the one request that carries the token instead of a signature."""

    token: Short
    certificate_pem: Annotated[str, StringConstraints(max_length=4000)]
    protocol: int = PROTOCOL_VERSION
    facts: WorkerFacts
    console_url: Annotated[str, StringConstraints(max_length=300)] = ""
    sent_at: datetime  # for the clock check


class EnrolReply(Message):
    """What a worker keeps of its enrolment."""

    worker_id: Short
    worker_name: Short
    kind: Literal["data", "compute", "both"]
    organisation_id: Short
    organisation_name: Short
    fingerprint: Hex64
    hub_public_key_pem: Annotated[str, StringConstraints(max_length=2000)]  # upload tickets are signed with it
    beat_seconds: int
    hub_time: datetime


class RotateRequest(Message):
    """`POST rotate`, signed with the current key: the next certificate, in force from the reply (an EnrolReply) on."""

    certificate_pem: Annotated[str, StringConstraints(max_length=4000)]


class Beat(Message):
    """Worker → hub over the socket, every `beat_seconds`: alive, and what each lane is doing."""

    type: Literal["beat"] = "beat"
    lanes: list[dict[str, Any]] = Field(
        default_factory=list, max_length=64
    )  # run_id, participant_id, attempt, phase, step


class Hello(Message):
    """Worker → hub, first message on the socket; sent again when a fact changes."""

    type: Literal["hello"] = "hello"
    protocol: int = PROTOCOL_VERSION
    facts: WorkerFacts
    checks: list[Check] = Field(default_factory=list, max_length=64)
    policy: PolicySummary = PolicySummary()
    console_url: Annotated[str, StringConstraints(max_length=300)] = ""


class Wake(Message):
    """Hub → worker over the socket: a doorbell. The worker then asks `GET assignments`, which is the truth."""

    type: Literal["wake"] = "wake"
    reason: Short = ""


# ── Assignments ───────────────────────────────────────────────────────────────────────────────────────────────────


class Assignment(Message):
    """One part in one run, as `GET assignments` tells it. `contract` is the very text whose SHA-256 was approved."""

    run_id: Short
    participant_id: Short
    party: Party
    role: Role
    attempt: int  # the highest handed out so far
    wanted_attempt: int = 1  # what runs under a lower one is to end; then the part is taken up again
    kind: Literal["review", "train", "evaluate", "verify"]  # review: check the policy only; nothing is started
    desired: Desired
    contract: str
    contract_hash: Hex64
    server_address: Short = ""  # host:port, once the server half listens
    server_attempt: int = 0
    client_attempts: dict[Party, int] = Field(
        default_factory=dict, max_length=64
    )  # lower ones are over; see `wanted_attempt`
    stop_confirmed: bool = False
    adapter_url: Text = ""  # evaluate/verify: path below the hub's address
    adapter_sha256: str = ""
    adapter_id: Short = ""
    # PEM certificates of the participants: the tensor channel's trust roots. A worker uses one only where its SHA-256
    # is a fingerprint of the contract that it checked.
    certificates: list[Annotated[str, StringConstraints(max_length=4000)]] = Field(default_factory=list, max_length=64)


class Assignments(Message):
    """The whole list; what is not in it is no longer this worker's business."""

    assignments: list[Assignment]
    hub_time: datetime
    # runs of this worker that are over for good: their checkpoints may go
    settled: list[Short] = Field(default_factory=list, max_length=200)


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


class ClaimReply(Message):
    """The new attempt: every message of an older one is refused with CL-1503."""

    attempt: int
    desired: Desired


class Ready(Message):
    """`POST runs/{run_id}/ready`: the server half listens here."""

    participant_id: Short
    attempt: int
    host: Short
    port: int = Field(ge=1, le=65535)


class Exit(Message):
    """`POST runs/{run_id}/exit`: the half's process is gone. With desired=stopped this is the confirmation."""

    participant_id: Short
    attempt: int
    outcome: Literal["done", "failed", "stopped"]
    error: ErrorInfo | None = None
    checkpoint_step: int | None = None


# ── Telemetry ─────────────────────────────────────────────────────────────────────────────────────────────────────


class MetricPayload(Message):
    """One optimiser step of one party. Seconds are wall time of that step; bytes are this step's."""

    loss: float | None = None  # token-weighted mean over this party's rows (clients; server in vanilla)
    tokens: int = 0  # target tokens
    seen_tokens: int = 0  # all tokens that went through
    learning_rate: float | None = None
    grad_norm: float | None = None
    seconds: float = 0.0
    compute_s: float = 0.0
    send_s: float = 0.0
    wait_s: float = 0.0
    bytes_up: int = 0  # client → server
    bytes_down: int = 0


class EvalPayload(Message):
    """An evaluation on held-out rows."""

    loss: float | None  # None: not available, since a value was not finite
    tokens: int
    rows: int = 0


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

    seq: int = Field(ge=1)
    kind: RecordKind
    step: int | None = Field(None, ge=0)
    at: datetime
    payload: dict[str, Any]  # validated by PAYLOADS[kind]


class TelemetryBatch(Message):
    """`POST runs/{run_id}/telemetry`. Sending a batch again changes nothing."""

    participant_id: Short
    attempt: int
    records: list[TelemetryRecord] = Field(max_length=500)


class TelemetryReply(Message):
    """How far the hub has stored, and what it wants now."""

    stored_through: int
    desired: Desired


# ── Datasets, models, artefacts ───────────────────────────────────────────────────────────────────────────────────


class Histogram(Message):
    """Token lengths: `edges` has one more entry than `counts`."""

    edges: list[int] = Field(max_length=65)
    counts: list[int] = Field(max_length=64)


class DatasetMetadata(Message):
    """All that leaves a data organisation about a dataset. No field has room for a row."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,79}$")]
    version: int = Field(ge=1)
    format: Literal["prompt_completion", "messages", "text"]
    source: Literal["jsonl", "csv", "parquet"]
    rows: int = Field(ge=0)
    train_rows: int = Field(ge=0)
    heldout_rows: int = Field(ge=0)
    columns: list[Short] = Field(default_factory=list, max_length=64)
    tokenizer: Short = ""
    token_lengths: Histogram | None = None
    longest_tokens: int | None = None
    digest: Hex64  # HMAC-SHA256 under the site's own key
    created_at: datetime


class ModelRegistration(Message):
    """`POST models`: a base model that this worker has mapped and verified."""

    model_id: Annotated[str, StringConstraints(max_length=400)]
    revision: Annotated[str, StringConstraints(max_length=100)] = ""
    manifest_hash: Hex64
    config: dict[str, Any]  # config.json of the model, at most 64 KiB
    parameters: int = Field(ge=0)
    bytes: int = Field(ge=0)


class SegmentUpload(Message):
    """Query of `PUT runs/{run_id}/segments/{name}` (safetensors) and `PUT runs/{run_id}/tokenizer/{name}` (pinned)."""

    participant_id: Short
    attempt: int
    sha256: Hex64


class EvaluationResult(Message):
    """What a data party measured on its own held-out rows with the joined adapter."""

    base_loss: float
    base_exact_match: float
    loss: float
    exact_match: float
    rows: int
    tokens: int


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
    dataset_version: int | None = None
    dataset_digest: str = ""
    receives_adapter: bool = True


class ContractDocument(Message):
    """What the organisations approve. Its canonical JSON is hashed; a worker re-hashes the bytes that it received."""

    contract_version: Literal[1] = 1
    run_id: Short
    run_name: Short
    project_id: Short
    project: Short
    config: dict[str, Any]  # splitcore.RunConfig as JSON
    participants: list[ContractParticipant] = Field(min_length=1, max_length=64)
    public_prompts: list[Text] = Field(default_factory=list, max_length=8)
    message_bytes: int = Field(ge=1024)  # the largest tensor message
    traffic: list[Text] = Field(default_factory=list, max_length=32)  # in words: what crosses, from whom to whom


# ── Signed requests ───────────────────────────────────────────────────────────────────────────────────────────────

HEADER_WORKER = "X-Cutlayer-Worker"
HEADER_TIME = "X-Cutlayer-Time"  # seconds since the epoch, decimal
HEADER_NONCE = "X-Cutlayer-Nonce"  # 32 hex characters, never used twice
HEADER_SIGNATURE = "X-Cutlayer-Signature"  # base64 of the DER ECDSA-P256-SHA256 signature


def signing_input(method: str, path_and_query: str, timestamp: str, nonce: str, body_sha256: str) -> bytes:
    """The bytes that a worker signs with the key of its certificate, for HTTP requests and the socket's opening alike.

    For the socket the method is GET and the body is empty. A segment upload signs the file's SHA-256 as announced.
    """
    return "\n".join(["cutlayer-v1", method.upper(), path_and_query, timestamp, nonce, body_sha256]).encode()
