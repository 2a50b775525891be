"""Enrolment, facts of a worker, beats: a worker presents itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from splitcore.bounds import Count, Moment, Short, Small, Text
from workers.contracts.base import (
    PROTOCOL_VERSION,
    Address,
    Check,
    DatasetName,
    Hex64,
    HubMessage,
    Message,
    Pem,
    Phase,
    Port,
    Role,
    Since,
    Version,
)
from workers.contracts.spending import SPENT_SINCE, BudgetTold, DatasetSpent


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
    max_message_bytes: Annotated[Count | None, Since(5)] = None  # None: not told, as by a worker before version 5
    privacy_budget: Annotated[BudgetTold | None, Since(SPENT_SINCE)] = None  # None: no budget, or not told


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


HELD_MAX = 400  # dataset versions that a hello names; a worker with more tells none
HELD_SINCE = 3  # the version of the protocol in which a hello came to name them, by their digests alone
HELD_VERSIONS_SINCE = 7  # that in which it came to say which dataset's they are


class HeldVersion(Message):
    """A dataset version whose rows are on the worker. The same rows may be there as several of them."""

    name: DatasetName
    version: Small = Field(ge=1)
    digest: Hex64


class Hello(Message):
    """Worker → hub, first message on the socket; sent again when a fact changes."""

    type: Literal["hello"] = "hello"
    protocol: Small = PROTOCOL_VERSION
    facts: WorkerFacts
    checks: list[Check] = Field(default_factory=list, max_length=64)
    policy: PolicySummary = PolicySummary()
    console_url: Address = ""
    # digests of the dataset versions whose rows are on this machine; None: not told (too many, or an older worker)
    held: Annotated[list[Hex64] | None, Field(max_length=HELD_MAX), Since(HELD_SINCE)] = None
    # the same versions, each by name and number; None: not told
    held_versions: Annotated[list[HeldVersion] | None, Field(max_length=HELD_MAX), Since(HELD_VERSIONS_SINCE)] = None
    # what the rows of each dataset have spent by releases with noise; None: not told
    spent: Annotated[list[DatasetSpent] | None, Field(max_length=HELD_MAX), Since(SPENT_SINCE)] = None


WAKE_COPY = "copy"  # the reason of a wake that tells a worker of a second one with its key


class Wake(HubMessage):
    """Hub → worker over the socket: a doorbell. The worker then asks `GET assignments`, which is the truth."""

    type: Literal["wake"] = "wake"
    reason: Short = ""
