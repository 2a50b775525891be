"""What the REST API says of workers and takes for them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Field, Schema

from splitcore.bounds import Word
from webapp.fleet.facts import facts_of
from webapp.fleet.models import EnrolmentToken, Worker
from webapp.orgs.models import PartyKind


class FactOut(Schema):
    """One fact about a worker."""

    name: str
    state: str
    word: str
    detail: str
    moment: datetime | None


class ModelOut(Schema):
    """A base model that the worker has."""

    model_id: str
    revision: str
    manifest_hash: str
    parameters: int
    bytes: int


class WorkerOut(Schema):
    """A worker."""

    id: str
    name: str
    kind: str
    labels: list[str]
    state: str
    fingerprint: str
    version: str
    organisation: str
    created_at: datetime
    last_beat_at: datetime | None
    facts: list[FactOut]
    hardware: dict[str, Any]
    checks: list[dict[str, Any]]
    policy: dict[str, Any]
    models: list[ModelOut]

    @classmethod
    def of(cls, worker: Worker) -> WorkerOut:
        """The answer for a row."""
        return cls(
            id=worker.pk,
            name=worker.name,
            kind=worker.kind,
            labels=worker.labels,
            state=worker.state,
            fingerprint=worker.fingerprint,
            version=worker.version,
            organisation=worker.organisation_id,
            created_at=worker.created_at,
            last_beat_at=worker.last_beat_at,
            facts=[FactOut(**_plain(fact)) for fact in facts_of(worker)],
            hardware=worker.facts,
            checks=worker.checks,
            policy=worker.policy,
            models=[ModelOut.from_orm(model) for model in worker.models.all()],
        )


def _plain(fact: Any) -> dict[str, Any]:
    return {name: getattr(fact, name) for name in ("name", "state", "word", "detail", "moment")}


class EnrolmentTokenIn(Schema):
    """Which worker is to join."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.\-]{0,59}$")
    kind: PartyKind
    labels: list[Word] = Field(default_factory=list, max_length=8)


class EnrolmentTokenOut(Schema):
    """An enrolment token; `token` and `command` are in the answer to its making alone."""

    id: str
    worker_name: str
    kind: str
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None
    worker: str | None
    token: str | None = None
    command: str | None = None

    @classmethod
    def of(cls, row: EnrolmentToken, *, token: str | None = None, command: str | None = None) -> EnrolmentTokenOut:
        """The answer for a row."""
        return cls(
            id=row.pk,
            worker_name=row.worker_name,
            kind=row.kind,
            expires_at=row.expires_at,
            used_at=row.used_at,
            revoked_at=row.revoked_at,
            worker=row.worker_id,
            token=token,
            command=command,
        )


class FingerprintIn(Schema):
    """The fingerprint that a person has compared with the worker's own."""

    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")
