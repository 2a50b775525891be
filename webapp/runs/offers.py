"""Who can take part in a project's runs, as the REST API tells it: with the ids that a new run takes."""

from __future__ import annotations

from datetime import datetime

from ninja import Schema

from webapp.projects.models import Project
from webapp.runs.configure.options import ComputeOption, DataOption, model_options, party_options


class DataOffer(Schema):
    """A dataset version that can train or measure. `worker` and `dataset_version` go into a run's `parties`."""

    organisation: str
    organisation_name: str
    dataset: str
    version: int
    dataset_version: str
    format: str
    train_rows: int
    heldout_rows: int
    worker: str
    worker_name: str
    online: bool
    last_beat_at: datetime | None

    @classmethod
    def of(cls, organisation_name: str, option: DataOption) -> DataOffer:
        """From what the form shows."""
        version, meta = option.version, option.version.metadata
        return cls(
            organisation=version.dataset.organisation_id,
            organisation_name=organisation_name,
            dataset=version.dataset.name,
            version=version.number,
            dataset_version=version.id,
            format=str(meta.get("format", "")),
            train_rows=int(meta.get("train_rows", meta.get("rows", 0))),
            heldout_rows=int(meta.get("heldout_rows", 0)),
            worker=option.worker.id,
            worker_name=option.worker.name,
            online=option.online,
            last_beat_at=option.worker.last_beat_at,
        )


class ComputeOffer(Schema):
    """A worker that can run the middle of the model."""

    organisation: str
    organisation_name: str
    worker: str
    worker_name: str
    hardware: str
    online: bool
    last_beat_at: datetime | None

    @classmethod
    def of(cls, option: ComputeOption) -> ComputeOffer:
        """From what the form shows."""
        return cls(
            organisation=option.worker.organisation_id,
            organisation_name=option.worker.organisation.name,
            worker=option.worker.id,
            worker_name=option.worker.name,
            hardware=option.gpu,
            online=option.online,
            last_beat_at=option.worker.last_beat_at,
        )


class ModelOffer(Schema):
    """A base model with the workers that hold it. `manifest` is empty where their weights differ."""

    model: str
    manifest: str
    workers: list[str]


class PartiesOut(Schema):
    """Everything that a run of the project can be made of."""

    data: list[DataOffer]
    compute: list[ComputeOffer]
    models: list[ModelOffer]

    @classmethod
    def of(cls, project: Project) -> PartiesOut:
        """As the form of a new run offers it."""
        options = party_options(project, None)
        return cls(
            data=[DataOffer.of(o.organisation.name, dataset) for o in options.data for dataset in o.datasets],
            compute=[ComputeOffer.of(option) for option in options.compute],
            models=[
                ModelOffer(model=m.model_id, manifest=m.manifest, workers=list(m.worker_ids))
                for m in model_options(project, [])
            ],
        )
