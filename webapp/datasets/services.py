"""Writes on datasets: metadata as a worker sends it, offers to projects, withdrawal."""

from __future__ import annotations

from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.models import User
from webapp.audit.services import audit_record
from webapp.core.live import notify_org
from webapp.core.names import alike_among
from webapp.core.transactions import service
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.fleet.models import Worker
from webapp.orgs.permissions import Action, require
from webapp.projects.models import Project
from webapp.projects.selectors import takes_part
from webapp.runs.models import Run
from webapp.runs.services.parties import runs_return_to_draft
from workers.contracts import DatasetMetadata

VERSIONS = 5_000  # of one worker: their metadata is kept for ever


@service
def dataset_register(*, worker: Worker, metadata: DatasetMetadata) -> DatasetVersion:
    """Keep the metadata of a new version; the same again changes nothing, other content under its number is refused."""
    _name_check(worker, metadata.name)
    known = DatasetVersion.objects.filter(dataset__worker=worker)
    is_new = not known.filter(dataset__name=metadata.name, number=metadata.version).exists()
    if is_new and known.count() >= VERSIONS:
        raise AppError("CL-1459", f"The worker {worker.name} already has {VERSIONS:,} dataset versions.")
    dataset, _ = Dataset.objects.select_for_update(no_key=True).get_or_create(
        worker=worker, name=metadata.name, defaults={"organisation_id": worker.organisation_id}
    )
    stored = metadata.model_dump(mode="json")
    version, created = DatasetVersion.objects.get_or_create(
        dataset=dataset, number=metadata.version, defaults={"digest": metadata.digest, "metadata": stored}
    )
    if not created:
        if version.digest != metadata.digest:
            raise AppError(
                "CL-1418",
                f"Version {metadata.version} of {metadata.name} is already registered with different content.",
            )
        return version
    if dataset.is_archived:
        dataset.is_archived = False
        dataset.save(update_fields=["is_archived", "updated_at"])
    audit_record(
        actor=worker,
        action="dataset.registered",
        organisation_id=worker.organisation_id,
        object_id=dataset.id,
        details={"name": dataset.name, "version": version.number, "digest": version.digest},
    )
    notify_org(worker.organisation_id, "dataset", dataset.id)
    return version


def _name_check(worker: Worker, name: str) -> None:
    """Refuse (CL-1458) a new dataset's name that nobody can tell from that of another one on the worker."""
    known = list(Dataset.objects.filter(worker=worker).values_list("name", flat=True))
    other = None if name in known else alike_among(name, known)
    if other is not None:
        raise AppError("CL-1458", f"The worker {worker.name} already has a dataset named {other}.")


@service
def dataset_offer(*, actor: User, dataset: Dataset, project: Project) -> None:
    """Let a project's runs be configured with the dataset; each run still needs the organisation's approval."""
    require(actor, Action.OFFER_DATASET, dataset.organisation)
    if not takes_part(dataset.organisation, project):
        raise AppError("CL-1601", f"{dataset.organisation} doesn't take part in {project}.")
    if dataset.projects.filter(pk=project.pk).exists():
        return
    dataset.projects.add(project)
    _audit(actor=actor, action="dataset.offered", dataset=dataset, project=project)


@service
def dataset_offer_withdraw(*, actor: User, dataset: Dataset, project: Project) -> None:
    """Take a dataset back from a project: no run starts with it any more, waiting and approved ones become drafts."""
    require(actor, Action.OFFER_DATASET, dataset.organisation)
    if not dataset.projects.filter(pk=project.pk).exists():
        return
    runs_return_to_draft(
        actor=actor,
        runs=Run.objects.filter(project=project, participants__dataset_version__dataset=dataset),
        why=f"{dataset.organisation.name} no longer offers the dataset {dataset.name} to {project.name}.",
    )
    dataset.projects.remove(project)
    _audit(actor=actor, action="dataset.offer_withdrawn", dataset=dataset, project=project)


def _audit(*, actor: User, action: str, dataset: Dataset, project: Project) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=dataset.organisation_id,
        project_id=project.id,
        object_id=dataset.id,
        details={"dataset": dataset.name, "project": project.name},
    )
    notify_org(dataset.organisation_id, "dataset", dataset.id)
    if project.owner_id != dataset.organisation_id:
        notify_org(project.owner_id, "dataset", dataset.id)


@service
def dataset_version_withdraw(*, actor: User, version: DatasetVersion) -> DatasetVersion:
    """Keep a version out of runs that have not started; its history stays."""
    require(actor, Action.OFFER_DATASET, version.dataset.organisation)
    runs_return_to_draft(
        actor=actor,
        runs=Run.objects.filter(participants__dataset_version=version),
        why=f"{version.dataset.organisation.name} withdrew {version.dataset.name} v{version.number}.",
    )
    row = (
        DatasetVersion.objects.select_for_update(of=("self",), no_key=True).select_related("dataset").get(pk=version.pk)
    )
    if row.withdrawn_at is None:
        row.withdrawn_at = timezone.now()
        row.save(update_fields=["withdrawn_at", "updated_at"])
        audit_record(
            actor=actor,
            action="dataset.version_withdrawn",
            organisation_id=row.dataset.organisation_id,
            object_id=row.dataset_id,
            details={"name": row.dataset.name, "version": row.number},
        )
        notify_org(row.dataset.organisation_id, "dataset", row.dataset_id)
    return row
