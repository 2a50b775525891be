"""The contract of a run: built from its rows, frozen as canonical JSON, hashed, compared field by field."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from splitcore.bounds import plain, plain_line
from splitcore.config import RunConfig, canonical_json, config_read, written
from splitcore.flows import Cast
from splitcore.flows.sentences import sentences_of
from webapp.runs.estimate import message_limit
from webapp.runs.models import Participant, ParticipantRole, Run
from workers.contracts import ContractDocument, ContractParticipant, Role


@dataclass(frozen=True)
class Change:
    """One field that differs between two contracts; None where the field is absent."""

    field: str
    old: Any
    new: Any


def traffic_sentences(config: RunConfig, participants: list[Participant], *, prompts: bool = False) -> list[str]:
    """What leaves each organisation, from whom to whom, in words."""
    server = next((p.organisation.name for p in participants if p.role == ParticipantRole.SERVER), "")
    clients = {p.party: p.organisation.name for p in participants if p.role == ParticipantRole.CLIENT}
    return sentences_of(config, Cast(clients, server, prompts))


def _participant(row: Participant) -> ContractParticipant:
    version = row.dataset_version
    return ContractParticipant(
        party=row.party,
        role=Role(row.role),
        organisation_id=row.organisation_id,
        organisation=plain_line(row.organisation.name),
        worker_id=row.worker_id,
        worker=plain_line(row.worker.name),
        fingerprint=row.worker.fingerprint,
        dataset=version.dataset.name if version else "",
        dataset_version_id=version.id if version else "",
        dataset_version=version.number if version else None,
        dataset_digest=version.digest if version else "",
        receives_adapter=row.receives_adapter,
    )


def contract_build(run: Run, config: RunConfig) -> ContractDocument:
    """The contract as the run's rows stand now."""
    rows = list(
        run.participants.select_related("organisation", "worker", "dataset_version__dataset").order_by("role", "party")
    )
    schema, said = written(config)
    return ContractDocument(
        contract_version=schema,
        run_id=run.id,
        run_name=plain_line(run.name),
        project_id=run.project_id,
        project=plain_line(run.project.name),
        config=said,
        participants=[_participant(row) for row in rows],
        public_prompts=[plain(prompt) for prompt in run.public_prompts],
        message_bytes=message_limit(config, rows),
        traffic=[plain(line) for line in traffic_sentences(config, rows, prompts=bool(run.public_prompts))],
    )


def contract_text(document: ContractDocument) -> str:
    """The very text that is hashed, shown, approved and sent to the workers."""
    return canonical_json(document.model_dump(mode="json"))


def contract_hash(text: str) -> str:
    """SHA-256 of the contract's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def contract_read(text: str) -> ContractDocument | None:
    """The document of a stored text; None where there is none."""
    return ContractDocument.model_validate_json(text) if text else None


def config_agreed(run: Run) -> RunConfig:
    """The configuration as the run's contract says it, decided where the draft leaves it open; of a draft, its own.

    Raises AppError CL-1001, CL-1008.
    """
    document = contract_read(run.contract)
    return config_read(document.config, document.contract_version) if document else RunConfig.parse(run.config)


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """A nested document as dotted paths; participants go by their party name, not their place."""
    if isinstance(value, dict) and value:
        items = value.items()
    elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        items = {str(item.get("party", place)): item for place, item in enumerate(value)}.items()
    elif isinstance(value, list) and value and any(" " in str(item) for item in value):
        items = {str(place + 1): item for place, item in enumerate(value)}.items()  # sentences, one by one
    else:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in items:
        flat |= flatten(item, f"{prefix}.{key}" if prefix else str(key))
    return flat


def diff(old: Any, new: Any) -> list[Change]:
    """Every field that differs between two nested documents, in the new one's order."""
    before, after = flatten(old), flatten(new)
    names = [*after, *(name for name in before if name not in after)]
    return [Change(name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)]


def contract_diff(old: str, new: str) -> list[Change]:
    """What changed between two contract texts; nothing where one of them is missing."""
    return diff(_comparable(old), _comparable(new)) if old and new else []


def _comparable(text: str) -> dict[str, Any]:
    """A contract with its configuration in one form, whatever the schema in which it is written."""
    document: dict[str, Any] = json.loads(text)
    config = config_read(document["config"], document.pop("contract_version", 1))
    return {**document, "config": config.model_dump(mode="json")}
