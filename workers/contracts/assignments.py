"""What the hub asks of a worker."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from splitcore.bounds import Free, Moment, Short, Small, Text
from workers.contracts.base import (
    ASSIGNMENTS,
    CONTRACT_CHARACTERS,
    Desired,
    Hex64,
    HubMessage,
    Kind,
    Party,
    Pem,
    Role,
    Since,
)
from workers.contracts.witness import ChainHead


class Assignment(HubMessage):
    """One part in one run, as `GET assignments` tells it. `contract` is the very text whose SHA-256 was approved."""

    run_id: Short
    participant_id: Short
    party: Party
    role: Role
    attempt: Small  # the highest handed out so far
    wanted_attempt: Small = 1  # what runs under a lower one is to end; then the part is taken up again
    kind: Kind  # `REVIEW`, or one of `JOBS`
    # the protocol's version that knows this kind: what a worker that doesn't tells its people to install
    kind_since: Annotated[Small, Since(5)] = 0
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
    subject: Annotated[Short, Since(5)] = ""  # what the job is about, where a part has several of a later kind
    spec: Annotated[Free, Since(5)] = Field(default_factory=dict)  # what a kind of protocol 5 or later is told
    # PEM certificates of the participants: the tensor channel's trust roots. A worker uses one only where its SHA-256
    # is a fingerprint of the contract that it checked.
    certificates: list[Pem] = Field(default_factory=list, max_length=64)


class Assignments(HubMessage):
    """The whole list; what is not in it is no longer this worker's business."""

    assignments: list[Assignment] = Field(max_length=ASSIGNMENTS)
    hub_time: Moment
    # runs of this worker that are over for good: their checkpoints may go
    settled: list[Short] = Field(default_factory=list, max_length=200)
    # the worker's own note: participants of entries that it could not read (workers/assigned.py); the hub sends none
    unread: Annotated[list[Short], Since(3)] = Field(default_factory=list, max_length=ASSIGNMENTS)
    chain: Annotated[ChainHead | None, Since(3)] = None
