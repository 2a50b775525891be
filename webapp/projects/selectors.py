"""Reads of projects: a project is visible to the organisations that take part in it, and to nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import QuerySet
from django.http import Http404

from webapp.orgs.models import Organisation
from webapp.orgs.selectors import organisation_ids_of
from webapp.projects.models import Participation, Project

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from webapp.accounts.models import User


def projects_visible_to(user: User | AnonymousUser) -> QuerySet[Project]:
    """The projects in which one of the person's organisations takes part, newest first."""
    taking_part = Participation.objects.filter(organisation_id__in=organisation_ids_of(user), is_active=True)
    return Project.objects.filter(id__in=taking_part.values("project_id")).select_related("owner", "created_by")


def project_get_for(*, user: User, project_id: str) -> Project:
    """A visible project, else 404."""
    project = projects_visible_to(user).filter(id=project_id).first()
    if project is None:
        raise Http404
    return project


def participations_of(project: Project) -> QuerySet[Participation]:
    """The organisations of a project, the owner's and then in the order of joining."""
    return (
        project.participations.filter(is_active=True)
        .select_related("organisation", "accepted_by")
        .order_by("created_at", "id")
    )


def takes_part(organisation: Organisation, project: Project) -> bool:
    """Whether an organisation is an active party of a project."""
    return project.participations.filter(organisation=organisation, is_active=True).exists()


def base_models_of(project: Project) -> list[str]:
    """The base models that the project's submitted runs name, without repetition."""
    names: list[str] = []
    for config in project.runs.exclude(state="draft").order_by("created_at").values_list("config", flat=True):
        name = str((config.get("model") or {}).get("name_or_path") or "")
        if name and name not in names:
            names.append(name)
    return names
