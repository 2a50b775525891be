"""The check of a contract against this site: its bytes, this worker's own part in it, and the site policy.

The agent reviews at each ring of the doorbell, and the half's own process once more before it loads anything.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from splitcore import bounds
from splitcore.bounds import plain, plain_line
from splitcore.codecs.registry import payload_bytes
from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.models.files import read_json
from splitcore.planning.shape import told_widths
from splitcore.policy import Subject, conflicts, demands, role_breaches
from splitcore.wire.transport.certificates import load_identity
from workers.accounting.review import budget_breaches
from workers.accounting.summary import spent_of
from workers.approvals import ApprovalBook
from workers.contract_reading import read_contract
from workers.contracts import (
    OTHER_CONTRACT,
    REVIEW,
    SITE_APPROVAL,
    Assignment,
    ContractDocument,
    ContractParticipant,
    PolicyRefusal,
    PolicyVerdict,
    Role,
    spec_read,
)
from workers.data.store import DatasetStore
from workers.errors import where_of
from workers.jobs.kinds.registry import ALONE, kind_of
from workers.models_registry import ModelRegistry
from workers.policy import SitePolicy
from workers.settings import WorkerConfig, WorkerHome
from workers.trust import Mode, Purpose, TrustBook

log = logging.getLogger(__name__)
MODEL_ID = re.compile(bounds.MODEL_ID)
OF_THE_JOB = ("CL-1525", "CL-1553")  # an unknown kind, a kind that the site forbids: no word on the contract
DATA_ROLES = (Role.CLIENT, Role.EVALUATOR)


class DatasetLookup(Protocol):
    """What the review asks of the dataset store."""

    def __call__(self, digest: str) -> Sequence[tuple[str, int]]:
        """Name and number of each version with this digest whose rows are here."""


@dataclass(frozen=True)
class Site:
    """All that a review compares a contract with."""

    worker_id: str
    organisation_id: str
    fingerprint: str
    policy: SitePolicy
    trust: TrustBook
    approvals: ApprovalBook
    models: ModelRegistry
    dataset_of: DatasetLookup
    # (digest, run) → the square of the version's row that has spent most in other runs
    spent_of: Callable[[str, str], float] = lambda digest, run_id: 0.0
    is_admitted: bool = False  # the agent has let the job in: a certificate that is new by now is no first use

    @classmethod
    def load(
        cls, home: WorkerHome, config: WorkerConfig, *, trust: TrustBook | None = None, is_admitted: bool = False
    ) -> Site:
        """The site as its files are now. Raises AppError where one of them cannot be read."""

        def dataset_of(digest: str) -> list[tuple[str, int]]:
            return [(one.name, one.version) for one in DatasetStore(home.root).held() if one.digest == digest]

        return cls(
            worker_id=config.worker_id,
            organisation_id=config.enrolment.organisation_id,
            fingerprint=load_identity(home.keys).fingerprint,
            policy=SitePolicy.load(home.policy_file),
            trust=trust or TrustBook.load(home),
            approvals=ApprovalBook.load(home),
            models=ModelRegistry(home),
            dataset_of=dataset_of,
            spent_of=lambda digest, run_id: spent_of(home, digest, but=run_id),
            is_admitted=is_admitted,
        )

    @property
    def mode(self) -> Mode:
        """What counts as trusted."""
        if self.policy.peer_trust == "listed":
            return "listed"
        return "pinned" if self.is_admitted else "first_use"

    def is_open_to(self, contract_hash: str) -> bool:
        """Whether a person of this site has approved the contract, where the policy asks for that."""
        return self.policy.approve == "hub" or contract_hash in self.approvals.approved

    def remember(self, contract: ContractDocument, own: ContractParticipant) -> None:
        """Pin the data workers that an admitted server half lets in; the caller saves the book."""
        for part in contract.participants:
            if part.worker_id != own.worker_id and own.role is Role.SERVER and part.role is Role.CLIENT:
                self.trust.remember_data(part.worker_id, part.fingerprint)

    def untrusted(self, contract: ContractDocument, own: ContractParticipant) -> list[ContractParticipant]:
        """Participants that this worker would exchange tensors with and whose certificate is not trusted here."""
        others = [part for part in contract.participants if part.worker_id != own.worker_id]
        if own.role in DATA_ROLES:
            servers = [part for part in others if part.role is Role.SERVER]
            return [part for part in servers if not self.trust.trusts_compute(part.fingerprint)]
        clients = [part for part in others if part.role is Role.CLIENT]
        return [part for part in clients if not self.trust.trusts_data(part.worker_id, part.fingerprint, self.mode)]


@dataclass(frozen=True)
class Review:
    """The outcome for one assignment; `contract` and `config` are there when the bytes could be read."""

    assignment: Assignment
    refusals: list[PolicyRefusal]
    code: str = "CL-1509"  # of the refusal: the policy's; CL-1425: the contract is not what it should be; OF_THE_JOB
    contract: ContractDocument | None = None
    config: RunConfig | None = None
    own: ContractParticipant | None = None
    untrusted: tuple[ContractParticipant, ...] = ()  # those whose certificate is not trusted here

    @property
    def waits(self) -> bool:
        """Whether nothing is missing but the approval of a person at this site."""
        return self.code == "CL-1426"

    @property
    def judges_contract(self) -> bool:
        """Whether it says anything of the contract, and not of a kind of job alone that this site forbids."""
        return self.code != "CL-1553"

    @property
    def accepted(self) -> bool:
        """Whether the job may start."""
        return not self.refusals and self.contract is not None

    def verdict(self) -> PolicyVerdict:
        """What the hub is told."""
        return PolicyVerdict(
            participant_id=self.assignment.participant_id,
            contract_hash=self.assignment.contract_hash,
            accepted=self.accepted,
            refusals=self.refusals[:50],
        )

    def error(self) -> AppError:
        """Why the job may not start."""
        if self.waits:
            return AppError("CL-1426", self.refusals[0].message)
        reasons = " ".join(refusal.message for refusal in self.refusals)
        if self.code in OF_THE_JOB:
            return AppError(self.code, reasons)
        return AppError(self.code, f"This site's policy refuses the contract: {reasons}"[:600])

    def passed(self) -> tuple[ContractDocument, RunConfig, ContractParticipant]:
        """The contract, its configuration and this worker's part. Raises AppError CL-1425, CL-1509."""
        if self.refusals or self.contract is None or self.config is None or self.own is None:
            raise self.error()
        return self.contract, self.config, self.own


Rule = Callable[[ContractDocument, RunConfig, ContractParticipant, Site], Iterator[PolicyRefusal]]


def review(assignment: Assignment, site: Site) -> Review:
    """Check everything that can be checked before a run starts. Never raises for what the hub sent.

    Raises AppError, OSError and sqlite3.Error where the site's own files can't be read.
    """
    try:
        return _reviewed(assignment, site)
    except (AppError, OSError, sqlite3.Error):
        raise
    except Exception as error:  # a fault of ours that this contract brings out: the other assignments go on
        where = where_of(error)
        log.error("the contract %s can't be checked: %s", assignment.contract_hash, where)
        message = f"This site's check of the contract failed ({where}), so the contract isn't accepted."
        return Review(assignment, [_refusal("contract", message)], "CL-1425")


def _reviewed(assignment: Assignment, site: Site) -> Review:
    try:
        _check_request(assignment, site.policy)
        contract, config = read_contract(assignment)
        own = own_part(contract, assignment, site)
    except AppError as error:
        fields = error.details.get("fields") or [{"field": "contract", "message": error.message}]
        code = error.code if error.code in ("CL-1425", *OF_THE_JOB) else "CL-1509"
        return Review(assignment, [_refusal(item["field"], item["message"]) for item in fields], code)
    refusals = [refusal for rule in RULES for refusal in rule(contract, config, own, site)]
    if assignment.kind in ALONE:
        return Review(assignment, refusals, "CL-1509", contract, config, own)
    refusals += [*_spending(contract, config, own, site), *_peers(contract, config, own, site)]
    untrusted = tuple(site.untrusted(contract, own))
    if not site.is_open_to(assignment.contract_hash):
        refusals.append(_waiting(assignment.contract_hash))
    code = "CL-1426" if [refusal.field for refusal in refusals] == [SITE_APPROVAL] else "CL-1509"
    return Review(assignment, refusals, code, contract, config, own, untrusted)


def other_contract(assignment: Assignment) -> Review:
    """The refusal of a contract that came under the ids of one that was admitted."""
    message = (
        "This site has already admitted a different contract for this run. A clone of the run has its own id and can be"
        " submitted with this contract."
    )
    return Review(assignment, [_refusal(OTHER_CONTRACT, message)], "CL-1425")


def other_participant(assignment: Assignment) -> Review:
    """The refusal of a second participant for a party of a contract: what was admitted, or approved, is one part."""
    message = "This site already takes this part as another participant. A party has only one."
    return Review(assignment, [_refusal("participant", message)], "CL-1425")


def other_job(assignment: Assignment) -> Review:
    """The refusal of a participant whose job belongs to another run here: what runs of it would be out of sight."""
    message = "This participant already belongs to another run at this site. A participant has only one run."
    return Review(assignment, [_refusal("participant", message)], "CL-1425")


def _check_request(assignment: Assignment, policy: SitePolicy) -> None:
    """What is asked for, apart from the contract. Raises AppError CL-1425, CL-1525 for a newer hub's kind of job.

    Only what its kind needs is named, so that one participant has one job of each kind.
    """
    if assignment.kind != REVIEW:
        kind_of(assignment).rule(assignment, policy)
        return
    try:
        spec_read(assignment)
    except ValueError:
        raise AppError(
            "CL-1425", "The hub named something to work on, but only the contract is up for review."
        ) from None


def own_part(contract: ContractDocument, assignment: Assignment, site: Site) -> ContractParticipant:
    """This worker's entry. Raises AppError CL-1425 where it is missing or not what this worker is."""
    own = next((part for part in contract.participants if part.party == assignment.party), None)
    if own is None or own.worker_id != site.worker_id or own.organisation_id != site.organisation_id:
        raise AppError("CL-1425", "The contract doesn't name this worker for this part.")
    if own.role != assignment.role:
        raise AppError("CL-1425", "The contract gives this worker another role.")
    if own.fingerprint != site.fingerprint:
        raise AppError("CL-1425", "The contract names another certificate for this worker.")
    return own


def _policy(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """The site's rules, in the words in which the hub shows them while a run is configured."""
    has_data = own.role in DATA_ROLES
    largest = max(contract.message_bytes, message_bytes(contract, config, site))
    run = Subject.of(config.for_party(own.party) if has_data else config, message_bytes=largest)
    asked = demands(site.policy.model_dump(), has_data=has_data, trains=own.role is not Role.EVALUATOR)
    for conflict in conflicts(asked, run):
        yield _refusal(conflict.field, conflict.sentence, conflict.allowed)
    for breach in role_breaches(config) if has_data else ():
        yield _refusal(breach.field, breach.sentence)


def _model(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """An id with a manifest that is registered here, never a path or an address."""
    model = config.model
    if not MODEL_ID.fullmatch(model.name_or_path) or ".." in model.name_or_path:
        yield _refusal("model.name_or_path", "A model must be named by its id, not by a path or an address.")
        return
    if model.manifest is None:
        yield _refusal("model.manifest", "The contract pins no manifest for the base model.")
        return
    registered = site.models.find(model.manifest)
    if registered is None:
        yield _refusal("model.manifest", "This base model is not registered on this worker (CL-1120).")
    elif (registered.model_id, registered.revision) != (model.name_or_path, model.revision or ""):
        yield _refusal("model.revision", "The manifest belongs to another model or revision.")


def message_bytes(contract: ContractDocument, config: RunConfig, site: Site) -> int:
    """Bytes of the largest hidden states that the configuration lets cross; 0 where the model cannot be read here.

    The half that runs compares the wire's whole limit once more, with the adapters that may be exchanged.
    """
    width = _width(site, config.model.manifest)
    largest = 0
    for part in contract.participants:
        if part.role is Role.CLIENT:
            training = config.for_party(part.party).training
            shape = (training.batch_size // training.micro_batches, training.max_length, width)
            formats = (config.wire.activations.name, config.wire.gradients.name)
            largest = max(largest, *(payload_bytes(name, shape) for name in formats))
    return largest


def _width(site: Site, manifest: str | None) -> int:
    """Width of the hidden states: as measured, or as config.json names it; 0 where neither tells."""
    registered = site.models.find(manifest)
    if registered is None:
        return 0
    if shape := site.models.shape(registered.manifest_hash):
        return shape.hidden
    try:
        return max(told_widths(read_json(registered.folder / "config.json")), default=0)
    except AppError:
        return 0


def _dataset(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """The rows that this site has confirmed, and no others; none at all for a compute worker."""
    if own.role is Role.SERVER:
        if own.dataset_version_id:
            yield _refusal("participants.dataset", "A compute worker uses no dataset.")
        return
    if not own.dataset_version_id:
        yield _refusal("participants.dataset", "The contract names no dataset for this worker.")
        return
    found, asked = site.dataset_of(own.dataset_digest), f"{own.dataset} v{own.dataset_version}"
    if not found:
        message = f"The rows of {asked} aren't on this worker. Add the file again there, or choose another dataset."
        yield _refusal("participants.dataset", message)
    elif (own.dataset, own.dataset_version) not in found:
        named = ", ".join(f"{name} v{number}" for name, number in found[:5])
        message = f"The rows of {asked} aren't on this worker. It has the same rows as {named}: choose that dataset."
        yield _refusal("participants.dataset", message)


def _spending(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """What a run would take of the rows' privacy budget."""
    budget = site.policy.budget
    try:
        spent = site.spent_of(own.dataset_digest, contract.run_id) if budget and own.dataset_version_id else 0.0
    except AppError as error:  # a ledger under another key
        yield _refusal("participants.dataset", f"{error.message} ({error.code})")
        return
    for field, sentence in budget_breaches(contract, config, own, budget, spent):
        yield _refusal(field, sentence)


def _peers(
    contract: ContractDocument, config: RunConfig, own: ContractParticipant, site: Site
) -> Iterator[PolicyRefusal]:
    """One server half, distinct parties, and certificates that this site trusts."""
    if sum(part.role is Role.SERVER for part in contract.participants) != 1:
        yield _refusal("participants", "A run has exactly one compute worker.")
    if len({part.party for part in contract.participants}) != len(contract.participants):
        yield _refusal("participants", "Two participants have the same name.")
    for part in contract.participants:
        if part.worker_id == own.worker_id and part.fingerprint != site.fingerprint:
            yield _refusal("participants.fingerprint", "This worker has a different certificate in the contract.")
    for part in site.untrusted(contract, own):
        yield _refusal(
            "participants.fingerprint",
            f"The certificate of {part.worker[:60]} ({part.organisation[:60]}) isn't trusted here (CL-1423)."
            " Ask its operator, not the hub, for the fingerprint. If it matches, run at this site:"
            f" `cutlayer worker trust {part.fingerprint} --as {purpose_of(part)}`.",
        )


def purpose_of(part: ContractParticipant) -> Purpose:
    """What a participant's certificate is to be trusted for."""
    return "compute" if part.role is Role.SERVER else "data"


RULES: tuple[Rule, ...] = (_policy, _model, _dataset)


def _waiting(contract_hash: str) -> PolicyRefusal:
    return _refusal(
        SITE_APPROVAL,
        "Waiting for the site, which approves contracts itself (CL-1426). Read the contract there, on the worker's own "
        f"page or with `cutlayer worker approve`. Then run at this site: `cutlayer worker approve {contract_hash}`.",
    )


def _refusal(field: str, message: str, limit: object = "") -> PolicyRefusal:
    return PolicyRefusal(field=plain_line(field), message=plain(message), limit=plain_line(str(limit)))
