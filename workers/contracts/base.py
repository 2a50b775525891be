"""What every message is built of: bounded types, the two strict bases, roles, phases, errors as they travel."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from splitcore.bounds import Short, Text

PROTOCOL_VERSION = 8  # the newest that this code reads and writes; raised with each field that is added
OLDEST_PROTOCOL = 2  # the oldest; a field that came later bears `Since` and is left out for an end that is older
API_PREFIX = "/api/worker/v1"
SOCKET_PATH = "/ws/worker/"

CHECKPOINT_DAYS = 7  # for so long a worker keeps the checkpoints of a run that has failed or was stopped

# Site-local Celery: a queue for each kind of slot, one task, the run's and the job's ids as its only arguments.
QUEUE = "cutlayer"
QUEUE_BESIDE = "cutlayer-beside"  # of jobs that may run beside training
TASK_SUPERVISE = "workers.jobs.supervise"

ASSIGNMENTS = 1000  # parts in one answer: what runs first, contracts to judge last; the others follow as these end
CONTRACT_CHARACTERS = 1 << 20
MESSAGE_BYTES_MAX = 1 << 40

Pem = Annotated[str, StringConstraints(max_length=4000, pattern=r"^[\n\r -~]*$")]
Address = Annotated[str, StringConstraints(max_length=200, pattern=r"^[!-~]*$")]  # a URL, or nothing
Version = Annotated[str, StringConstraints(max_length=40, pattern=r"^[ -~]*$")]
DatasetName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,79}$")]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Port = Annotated[int, Field(ge=0, le=65535)]
Kind = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,19}$")]  # of job
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
