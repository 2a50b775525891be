"""Metadata of datasets. A row of a dataset never reaches the hub."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel

FORMAT_WORDS = {
    "prompt_completion": "Prompt and completion",
    "messages": "Chat messages",
    "labelled": "Text and label",
    "text": "Plain text",
}


class Dataset(PublicModel):
    """A named dataset on one worker."""

    id_prefix: ClassVar[str] = "dat"

    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="datasets")
    worker = models.ForeignKey("fleet.Worker", on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=80)
    is_archived = models.BooleanField(default=False)
    privacy = models.JSONField(default=dict)  # workers.contracts.DatasetSpent, as its worker last told it; {}: untold
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
    missing_at = models.DateTimeField(null=True, blank=True)  # since when its worker no longer holds the rows
    told_changes = models.PositiveSmallIntegerField(default=0)  # of `missing_at` in the audit log, which has a bound

    class Meta:
        ordering = ["-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_version_number")]

    @property
    def format_words(self) -> str:
        """The form of its rows, in words."""
        return FORMAT_WORDS.get(str(self.metadata.get("format")), "")

    def __str__(self) -> str:
        return f"{self.dataset} v{self.number}"
