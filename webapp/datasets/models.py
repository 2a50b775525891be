"""Metadata of datasets. A row of a dataset never reaches the hub."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel


class Dataset(PublicModel):
    """A named dataset on one worker."""

    id_prefix: ClassVar[str] = "dat"

    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="datasets")
    worker = models.ForeignKey("fleet.Worker", on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=80)
    is_archived = models.BooleanField(default=False)
    projects = models.ManyToManyField("projects.Project", related_name="datasets", blank=True)  # offered to

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["worker", "name"], name="one_dataset_name")]

    def __str__(self) -> str:
        return self.name


class DatasetVersion(PublicModel):
    """An immutable version: exactly the metadata that a person at the worker's site confirmed."""

    id_prefix: ClassVar[str] = "dsv"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="versions")
    number = models.PositiveIntegerField()
    digest = models.CharField(max_length=64)  # HMAC-SHA256 under a key of the site: known files cannot be confirmed
    metadata = models.JSONField()  # workers.contracts.DatasetMetadata
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_version_number")]

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"
