"""What the REST API says of runs, and what it takes."""

from __future__ import annotations

from collections.abc import Container, Sequence
from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import ConfigDict, Field

from splitcore.audit.portfolio import Size
from splitcore.audit.result import AuditResult
from splitcore.bounds import Short, Small, Text, Word
from webapp.accounts.models import User
from webapp.jobs.models import Attempt
from webapp.jobs.selectors import attempts_of
from webapp.runs.models import Approval, Participant, Run
from webapp.runs.selectors import visible_parents
from webapp.runs.selectors.audits import LeakageAudit


class Strict(Schema):
    """A body in which an unknown key is an error."""

    model_config = ConfigDict(extra="forbid")


class PartyIn(Strict):
    """One worker of a run."""

    role: Word
    worker: Word
    dataset_version: Word = ""
    receives_adapter: bool | None = None


class RunIn(Strict):
    """A new draft: the configuration as JSON or as YAML, and the parties."""

    project: Word
    organisation: Word = ""
    name: Short
    config: dict[str, Any] | None = None
    config_yaml: str = Field("", max_length=100_000)
    parties: list[PartyIn] = Field(default_factory=list, max_length=64)
    public_prompts: list[Text] = Field(default_factory=list, max_length=8)
    note: str = Field("", max_length=4000)
    start_when_approved: bool = True
    submit: bool = False


class RunChange(Strict):
    """What of a draft is to change; what is left out stays.

    `version` is the one that was read: with it, a change that would undo a later one of somebody else is CL-1540 (409).
    """

    version: Small | None = None
    name: Short | None = None
    config: dict[str, Any] | None = None
    config_yaml: str = Field("", max_length=100_000)
    parties: list[PartyIn] | None = Field(None, max_length=64)
    public_prompts: list[Text] | None = Field(None, max_length=8)
    note: str | None = Field(None, max_length=4000)
    start_when_approved: bool | None = None


class EstimateIn(Strict):
    """What to estimate; nothing is stored."""

    project: Word
    config: dict[str, Any] | None = None
    config_yaml: str = Field("", max_length=100_000)
    parties: list[PartyIn] = Field(default_factory=list, max_length=64)


class DecisionIn(Strict):
    """A decision on exactly this contract."""

    contract_hash: Word
    reason: str = Field("", max_length=2000)
    organisation: Word = ""


class ReasonIn(Strict):
    """Why, for the others to read."""

    reason: str = Field("", max_length=300)


class AttemptOut(Schema):
    """One process of a part: how it ended, and how far its checkpoints go."""

    number: int
    started_at: datetime | None
    ended_at: datetime | None
    outcome: str
    error: dict[str, Any] | None
    checkpoint_step: int | None


class AuditIn(Strict):
    """Which part of the caller's organisation is to be audited; empty where it has one."""

    size: Size = "quick"
    participant: Word = ""


class AuditOut(Schema):
    """One leakage audit of an own part. `result` is there once it is done."""

    participant: str
    party: str
    subject: str
    size: str
    requested_at: datetime
    outcome: str
    error: dict[str, Any] | None
    result: AuditResult | None

    @classmethod
    def of(cls, part: Participant, audit: LeakageAudit) -> AuditOut:
        """Of a part's audit."""
        return cls(
            participant=part.id,
            party=part.party,
            subject=audit.job.subject,
            size=audit.size,
            requested_at=audit.job.created_at,
            outcome=audit.job.outcome,
            error=audit.error,
            result=audit.result,
        )


class ParticipantOut(Schema):
    """One worker in a run. `organisation` is its id."""

    id: str
    party: str
    role: str
    organisation: str
    organisation_name: str
    worker: str
    worker_name: str
    dataset_version: str | None
    receives_adapter: bool
    phase: str
    step: int
    attempt: int
    outcome: str
    last_beat_at: datetime | None
    stop_confirmed_at: datetime | None
    policy_verdict: dict[str, Any] | None
    attempts: list[AttemptOut]

    @classmethod
    def of(cls, part: Participant, attempts: Sequence[Attempt] = ()) -> ParticipantOut:
        """From a row with worker and organisation loaded."""
        return cls(
            id=part.id,
            party=part.party,
            role=part.role,
            organisation=part.organisation_id,
            organisation_name=part.organisation.name,
            worker=part.worker_id,
            worker_name=part.worker.name,
            dataset_version=part.dataset_version_id,
            receives_adapter=part.receives_adapter,
            phase=part.phase,
            step=part.step,
            attempt=part.attempt,
            outcome=part.outcome,
            last_beat_at=part.last_beat_at,
            stop_confirmed_at=part.stop_confirmed_at,
            policy_verdict=part.policy_verdict and {k: v for k, v in part.policy_verdict.items() if k != "told"},
            attempts=[AttemptOut(**{name: getattr(row, name) for name in AttemptOut.model_fields}) for row in attempts],
        )


class ApprovalOut(Schema):
    """An organisation's word on a contract."""

    organisation: str
    organisation_name: str
    contract_hash: str
    state: str
    reason: str
    decided_at: datetime | None

    @classmethod
    def of(cls, approval: Approval) -> ApprovalOut:
        """From a row with its organisation loaded."""
        return cls(
            organisation=approval.organisation_id,
            organisation_name=approval.organisation.name,
            contract_hash=approval.contract_hash,
            state=approval.state,
            reason=approval.reason,
            decided_at=approval.decided_at,
        )


class RunOut(Schema):
    """A run, without its parties."""

    id: str
    name: str
    project: str
    organisation: str
    parent: str | None
    note: str
    state: str
    state_since: datetime
    desired: str
    step: int
    total_steps: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    contract_hash: str
    version: int
    failure: dict[str, Any] | None
    summary: dict[str, Any]
    is_archived: bool
    url: str

    @staticmethod
    def fields_of(run: Run, parents: Container[str]) -> dict[str, Any]:
        """The fields of a run, by name; its parent's id where that is one of `parents`, which the caller may see."""
        names = (
            "id", "name", "note", "state", "state_since", "desired", "step", "total_steps", "created_at",
            "started_at", "ended_at", "contract_hash", "failure", "summary", "is_archived",
        )  # fmt: skip
        values = {name: getattr(run, name) for name in names}
        links: dict[str, Any] = {"version": run.draft_version}
        links |= {"project": run.project_id, "organisation": run.organisation_id}
        links["parent"] = run.parent_id if run.parent_id in parents else None
        return {**values, **links, "url": f"/runs/{run.id}"}


class RunDetail(RunOut):
    """A run with its configuration, contract, parties and approvals."""

    config: dict[str, Any]
    contract: str
    public_prompts: list[str]
    start_when_approved: bool
    participants: list[ParticipantOut]
    approvals: list[ApprovalOut]
    adapters: list[str]

    @classmethod
    def of(cls, run: Run, user: User) -> RunDetail:
        """From a row, as the person may see it."""
        parts = list(run.participants.select_related("organisation", "worker"))
        attempts = attempts_of(part.id for part in parts)
        approvals = run.approvals.filter(contract_hash=run.contract_hash).select_related("organisation")
        return cls(
            **cls.fields_of(run, visible_parents(user, [run])),
            config=run.config,
            contract=run.contract,
            public_prompts=run.public_prompts,
            start_when_approved=run.start_when_approved,
            participants=[ParticipantOut.of(part, attempts[part.id]) for part in parts],
            approvals=[ApprovalOut.of(approval) for approval in approvals],
            adapters=list(run.adapters.values_list("id", flat=True)),
        )


class RunPage(Schema):
    """Some runs, and how many there are."""

    items: list[RunOut]
    count: int
