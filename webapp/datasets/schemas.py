"""What the REST API says of datasets."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ninja import Schema

from splitcore.bounds import Word
from webapp.accounts.models import User
from webapp.datasets.models import Dataset
from webapp.datasets.selectors import is_own, projects_shown


class VersionOut(Schema):
    """A version: exactly the metadata that the site confirmed. `missing_at`: since when its rows are gone."""

    id: str
    number: int
    digest: str
    metadata: dict[str, Any]
    created_at: datetime
    withdrawn_at: datetime | None
    missing_at: datetime | None


class DatasetOut(Schema):
    """A dataset; `projects` are those of its offers that the caller can see.

    `privacy`: the ε of its worst row and the runs that spent it, as its worker told it; for its own organisation alone.
    """

    id: str
    name: str
    organisation: str
    worker: str
    projects: list[str]
    privacy: dict[str, Any] | None
    versions: list[VersionOut]

    @classmethod
    def of(cls, dataset: Dataset, user: User) -> DatasetOut:
        """The answer for a row."""
        return cls(
            id=dataset.pk,
            name=dataset.name,
            organisation=dataset.organisation_id,
            worker=dataset.worker_id,
            projects=[project.pk for project in projects_shown(user=user, dataset=dataset)],
            privacy=dataset.privacy or None if is_own(user, dataset) else None,
            versions=[VersionOut.from_orm(version) for version in dataset.versions.all()],
        )


class OfferIn(Schema):
    """The project to which a dataset is offered."""

    project: Word
