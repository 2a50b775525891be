"""The contract: what the organisations approve."""

from __future__ import annotations

from pydantic import Field

from splitcore.bounds import Free, Short, Small, Text
from workers.contracts.base import MESSAGE_BYTES_MAX, Hex64, Message, Party, Role


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

    contract_version: int = Field(1, ge=1, le=1000)  # the schema that `config` is written in
    run_id: Short
    run_name: Short
    project_id: Short
    project: Short
    config: Free  # splitcore.RunConfig as JSON
    participants: list[ContractParticipant] = Field(min_length=1, max_length=64)
    public_prompts: list[Text] = Field(default_factory=list, max_length=8)
    message_bytes: int = Field(ge=1024, le=MESSAGE_BYTES_MAX)  # the largest tensor message
    traffic: list[Text] = Field(default_factory=list, max_length=32)  # in words: what crosses, from whom to whom
