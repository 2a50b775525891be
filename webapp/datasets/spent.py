"""What a worker's datasets have spent of their rows' privacy, as the worker tells it: for its organisation alone."""

from __future__ import annotations

from django.utils import timezone

from webapp.core.live import notify_org
from webapp.core.transactions import service
from webapp.datasets.models import Dataset
from webapp.fleet.models import Worker
from workers.contracts import DatasetSpent


@service
def spending_told(*, worker: Worker, spent: list[DatasetSpent]) -> None:
    """Keep what a worker tells of its datasets; of one that it doesn't name, what it told before stays."""
    told = {one.name: one.model_dump(mode="json") for one in spent}
    known = Dataset.objects.filter(worker=worker, name__in=told).order_by("id")
    for dataset_id, name, before in known.values_list("id", "name", "privacy"):
        if before != told[name]:
            Dataset.objects.filter(pk=dataset_id).update(privacy=told[name], updated_at=timezone.now())
            notify_org(worker.organisation_id, "dataset", dataset_id)
