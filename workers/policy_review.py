"""The check of a contract against this site: its bytes, this worker's own part in it, and the site policy."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from pydantic import ValidationError

from splitcore.config import RunConfig, canonical_json
from splitcore.errors import AppError
from workers.contracts import Assignment, ContractDocument, ContractParticipant, PolicyRefusal, PolicyVerdict, Role
from workers.models_registry import ModelRegistry
from workers.policy import SitePolicy
from workers.trust import TrustBook

# An id is `name` or `owner/name`: no path of this machine, no address, no way out of a folder.
MODEL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._\-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._\-]{0,95})?")
DATA_ROLES = (Role.CLIENT, Role.EVALUATOR)


class DatasetLookup(Protocol):
    """What the review asks of the dataset store."""

    def __call__(self, version_id: str, digest: str) -> bool:
        """Whether this version, with this digest, is stored here."""


@dataclass(frozen=True)
class Site:
    """All that a review compares a contract with."""

    worker_id: str
    organisation_id: str
    fingerprint: str
    policy: SitePolicy
    trust: TrustBook
    models: ModelRegistry
    has_dataset: DatasetLookup


@dataclass(frozen=True)
class Review:
    """The outcome; `contract` and `config` are there when the bytes could be read."""

    refusals: list[PolicyRefusal]
    contract: ContractDocument | None = None
    config: RunConfig | None = None
    own: ContractParticipant | None = None

    def verdict(self, assignment: Assignment) -> PolicyVerdict:
        """What the hub is told."""
        return PolicyVerdict(
            participant_id=assignment.participant_id,
            contract_hash=assignment.contract_hash,
            accepted=not self.refusals,
            refusals=self.refusals[:50],
        )


Rule = Callable[[ContractDocument, RunConfig, ContractParticipant, Site], Iterator[PolicyRefusal]]


def review(assignment: Assignment, site: Site) -> Review:
    """Check everything that can be checked before a run starts. Never raises for what the hub sent."""
    try:
        contract, config = read_contract(assignment)
        own = own_part(contract, assignment, site)
    except AppError as error:
        fields = error.details.get("fields") or [{"field": "contract", "message": error.message}]
        return Review([_refusal(item["field"], item["message"]) for item in fields])
    refusals = [refusal for rule in RULES for refusal in rule(contract, config, own, site)]
    return Review(refusals, contract, config, own)


def read_contract(assignment: Assignment) -> tuple[ContractDocument, RunConfig]:
    """The contract behind its hash. Raises AppError CL-1425 or CL-1001."""
    if hashlib.sha256(assignment.contract.encode()).hexdigest() != assignment.contract_hash:
        raise AppError("CL-1425", "The contract's bytes do not have the hash that was approved.")
    try:
        data = json.loads(assignment.contract)
        contract = ContractDocument.model_validate(data)
    except (ValueError, ValidationError):
        raise AppError("CL-1425", "The contract does not have the agreed form.") from None
    if canonical_json(data) != assignment.contract:
        raise AppError("CL-1425", "The contract is not in its canonical form.")
    if contract.run_id != assignment.run_id:
        raise AppError("CL-1425", "The contract belongs to another run.")
    return contract, RunConfig.parse(contract.config)


def own_part(contract: ContractDocument, assignment: Assignment, site: Site) -> ContractParticipant:
    """This worker's entry. Raises AppError CL-1425 where it is missing or not what this worker is."""
    own = next((part for part in contract.participants if part.party == assignment.party), None)
    if own is None or own.worker_id != site.worker_id or own.organisation_id != site.organisation_id:
        raise AppError("CL-1425", "The contract does not name this worker for this part.")
    if own.role != assignment.role:
        raise AppError("CL-1425", "The contract gives this worker another role.")
    if own.fingerprint != site.fingerprint:
        raise AppError("CL-1425", "The contract names another certificate for this worker.")
    return own


def _topology(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """Where the labels stay, and how many layers."""
    if own.role not in DATA_ROLES:
        return
    policy, split = site.policy, config.for_party(own.party).split
    if split.topology not in policy.topologies:
        yield _refusal("split.topology", f"This site does not allow {split.topology}.", ", ".join(policy.topologies))
    if split.head_layers < policy.min_head_layers:
        yield _refusal("split.head_layers", "Fewer head layers than this site demands.", policy.min_head_layers)
    if split.topology == "u_shape" and split.tail_layers < policy.min_tail_layers:
        yield _refusal("split.tail_layers", "Fewer tail layers than this site demands.", policy.min_tail_layers)


def _model(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """An id with a manifest that is registered here, never a path or an address."""
    model = config.model
    if not MODEL_ID.fullmatch(model.name_or_path) or ".." in model.name_or_path:
        yield _refusal("model.name_or_path", "A model is named by its id, not by a path or an address.")
        return
    if model.manifest is None:
        yield _refusal("model.manifest", "The contract pins no manifest for the base model.")
        return
    registered = site.models.find(model.manifest)
    if registered is None:
        yield _refusal("model.manifest", "This base model is not registered at this worker (CL-1120).")
    elif (registered.model_id, registered.revision) != (model.name_or_path, model.revision or ""):
        yield _refusal("model.revision", "The manifest belongs to another model or revision.")
    allowed = site.policy.models
    if allowed and model.name_or_path not in allowed and model.manifest not in allowed:
        yield _refusal("model.name_or_path", "This site does not allow this base model.", ", ".join(allowed))


def _size(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """How long, and how large a message."""
    limit = site.policy.max_steps
    if limit is not None and config.training.steps is None:
        yield _refusal("training.epochs", "This site limits the steps of a run, so they must be given.", limit)
    elif limit is not None and config.training.steps is not None and config.training.steps > limit:
        yield _refusal("training.steps", "More steps than this site allows.", limit)
    if contract.message_bytes > site.policy.max_message_bytes:
        yield _refusal("message_bytes", "Larger messages than this site allows.", site.policy.max_message_bytes)


def _dataset(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """The rows that this site has confirmed, and no others; none at all for a compute worker."""
    if own.role is Role.SERVER:
        if own.dataset_version_id:
            yield _refusal("participants.dataset", "A compute worker takes no dataset.")
    elif not own.dataset_version_id or not site.has_dataset(own.dataset_version_id, own.dataset_digest):
        yield _refusal("participants.dataset", "This version of the dataset is not on this worker, or has changed.")


def _peers(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """One server half, distinct parties, and certificates that this site trusts."""
    if sum(part.role is Role.SERVER for part in contract.participants) != 1:
        yield _refusal("participants", "A run has exactly one compute worker.")
    if len({part.party for part in contract.participants}) != len(contract.participants):
        yield _refusal("participants", "Two participants have the same name.")
    first_use = site.policy.peer_trust == "first_use"
    for part in contract.participants:
        if part.worker_id == own.worker_id:
            if part.fingerprint != site.fingerprint:
                yield _refusal("participants.fingerprint", "Another certificate stands for this worker.")
        elif not site.trust.trusts(part.worker_id, part.fingerprint, first_use=first_use):
            yield _refusal(
                "participants.fingerprint", f"The certificate of {part.worker} is not trusted here (CL-1423)."
            )


RULES: tuple[Rule, ...] = (_topology, _model, _size, _dataset, _peers)


def _refusal(field: str, message: str, limit: object = "") -> PolicyRefusal:
    return PolicyRefusal(field=field[:120], message=message[:600], limit=str(limit)[:120])
