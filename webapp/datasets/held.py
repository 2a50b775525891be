"""What a worker holds: versions whose rows left its machine are marked, and unmarked when the rows are back."""

from __future__ import annotations

from datetime import datetime

from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Least
from django.utils import timezone

from webapp.audit.services import audit_record
from webapp.core.live import notify_org
from webapp.core.transactions import service
from webapp.datasets.models import Dataset, DatasetVersion
from webapp.fleet.models import Worker
from workers.contracts import HeldVersion

TOLD_CHANGES = 10  # of one version: a worker whose rows come and go for ever fills no log
NAMED = 20  # versions of one hello that the log, and the organisation's browsers, are told of one by one
BATCH = 500  # rows of one statement


@service
def versions_held(*, worker: Worker, digests: list[str], held: list[HeldVersion] | None = None) -> None:
    """Mark the worker's versions whose rows it no longer holds, and take the mark off those whose rows are back.

    `held` are the versions by name and number, which decide: the same rows may be there under another name only. A
    worker that is too old to tell them is believed by its `digests`.
    """
    known = _versions(worker)
    present = Q(digest__in=digests) if held is None else Q(id__in=_named(known, held))
    _mark(worker, known.filter(missing_at=None).exclude(present), timezone.now(), "dataset.rows_gone")
    _mark(worker, known.exclude(missing_at=None).filter(present), None, "dataset.rows_back")


@service
def versions_untold(*, worker: Worker) -> None:
    """Take every mark off: the worker no longer tells what it holds, so nothing would ever take them off."""
    _mark(worker, _versions(worker).exclude(missing_at=None), None, "dataset.rows_untold")


def _versions(worker: Worker) -> QuerySet[DatasetVersion]:
    return DatasetVersion.objects.filter(dataset__in=Dataset.objects.filter(worker=worker))


def _named(known: QuerySet[DatasetVersion], held: list[HeldVersion]) -> list[str]:
    """The ids of the versions that a worker has named."""
    told = {(one.name, one.version, one.digest) for one in held}
    alike = known.filter(digest__in={one.digest for one in held})
    return [found[0] for found in alike.values_list("id", "dataset__name", "number", "digest") if found[1:] in told]


def _mark(worker: Worker, versions: QuerySet[DatasetVersion], at: datetime | None, action: str) -> None:
    """However many versions a worker has registered, its hello keeps the database busy for a moment only."""
    rows = list(versions.select_for_update(no_key=True).order_by("id").values_list("id", "told_changes"))
    for first in range(0, len(rows), BATCH):
        marked = DatasetVersion.objects.filter(id__in=[version_id for version_id, _ in rows[first : first + BATCH]])
        marked.update(
            missing_at=at, told_changes=Least(F("told_changes") + 1, Value(TOLD_CHANGES)), updated_at=timezone.now()
        )
    _tell(worker, [version_id for version_id, changes in rows if changes < TOLD_CHANGES], action)
    _ring(worker, [version_id for version_id, _ in rows])


def _tell(worker: Worker, told: list[str], action: str) -> None:
    """An entry for each of a few versions; of all others together one."""
    named = DatasetVersion.objects.filter(id__in=told[:NAMED]).select_related("dataset").order_by("id")
    entries = [(one.dataset_id, {"name": one.dataset.name, "version": one.number}) for one in named]
    if len(told) > NAMED:
        entries.append((worker.id, {"name": worker.name, "more_versions": len(told) - NAMED}))
    for object_id, details in entries:
        audit_record(
            actor=worker,
            action=action,
            organisation_id=worker.organisation_id,
            object_id=object_id,
            details=details,
        )


def _ring(worker: Worker, changed: list[str]) -> None:
    """A doorbell for each of a few datasets, or one for all of them."""
    datasets = set(DatasetVersion.objects.filter(id__in=changed[:NAMED]).values_list("dataset_id", flat=True))
    if len(changed) > NAMED:
        notify_org(worker.organisation_id, "all", worker.id)
    else:
        for dataset_id in sorted(datasets):
            notify_org(worker.organisation_id, "dataset", dataset_id)
