"""What the REST operations of projects take and give."""

from __future__ import annotations

from datetime import datetime

from ninja import Field, Schema

from splitcore.bounds import Short
from webapp.projects.models import Project
from webapp.projects.selectors import participations_of


class PartyOut(Schema):
    """An organisation in a project."""

    organisation: str
    name: str
    slug: str
    kind: str


class ProjectIn(Schema):
    """A new project."""

    name: Short = Field(min_length=2)
    goal: str = Field("", max_length=4000)
    lawful_basis: str = Field("", max_length=2000)


class ProjectOut(Schema):
    """A project."""

    id: str
    name: str
    goal: str
    lawful_basis: str
    owner: str
    is_archived: bool
    created_at: datetime
    organisations: list[PartyOut]

    @classmethod
    def of(cls, project: Project) -> ProjectOut:
        """The schema of a project."""
        parties = [
            PartyOut(
                organisation=one.organisation_id, name=one.organisation.name, slug=one.organisation.slug, kind=one.kind
            )
            for one in participations_of(project)
        ]
        return cls(
            id=project.pk,
            name=project.name,
            goal=project.goal,
            lawful_basis=project.lawful_basis,
            owner=project.owner_id,
            is_archived=project.is_archived,
            created_at=project.created_at,
            organisations=parties,
        )
