"""Projects: where organisations train together."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from webapp.core.models import PublicModel
from webapp.orgs.models import PartyKind


class Project(PublicModel):
    """A collaboration of organisations towards one adapter (or several)."""

    id_prefix: ClassVar[str] = "prj"

    name = models.CharField(max_length=120)
    goal = models.TextField(blank=True, max_length=4000)
    lawful_basis = models.TextField(blank=True, max_length=2000)
    owner = models.ForeignKey("orgs.Organisation", on_delete=models.PROTECT, related_name="owned_projects")
    created_by = models.ForeignKey("accounts.User", on_delete=models.PROTECT, related_name="+")
    is_archived = models.BooleanField(default=False)
    organisations = models.ManyToManyField("orgs.Organisation", through="Participation", related_name="projects")

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name


class Participation(PublicModel):
    """An organisation in a project."""

    id_prefix: ClassVar[str] = "par"

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="participations")
    organisation = models.ForeignKey("orgs.Organisation", on_delete=models.CASCADE, related_name="participations")
    kind = models.CharField(max_length=8, choices=PartyKind.choices)
    accepted_by = models.ForeignKey("accounts.User", null=True, on_delete=models.PROTECT, related_name="+")
    is_active = models.BooleanField(default=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "organisation"], name="one_participation")]

    def __str__(self) -> str:
        return f"{self.organisation} in {self.project}"
