"""Writes of projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from splitcore.bounds import visible_line
from splitcore.errors import AppError
from webapp.audit.services import audit_record
from webapp.core.names import alike_among, name_check
from webapp.core.transactions import service
from webapp.orgs.invitations import invitations_end
from webapp.orgs.models import Organisation
from webapp.orgs.permissions import Action, require
from webapp.projects.models import Participation, Project
from webapp.runs.services.parties import runs_return_to_draft, runs_with_party

if TYPE_CHECKING:
    from webapp.accounts.models import User

LIVE_STATES = ("starting", "training", "recovering", "paused", "finishing", "stopping")


@service
def project_create(
    *, actor: User, organisation: Organisation, name: str, goal: str = "", lawful_basis: str = ""
) -> Project:
    """A new project; the organisation owns it and takes part in it."""
    require(actor, Action.CREATE_PROJECT, organisation)
    name = visible_line(name)
    _name_check(name, organisation)
    project = Project.objects.create(
        name=name,
        goal=goal.strip(),
        lawful_basis=lawful_basis.strip(),
        owner=organisation,
        created_by=actor,
    )
    Participation.objects.create(project=project, organisation=organisation, kind=organisation.kind, accepted_by=actor)
    _recorded(actor, project, "project.created", {"name": project.name})
    return project


@service
def project_update(*, actor: User, project: Project, name: str, goal: str, lawful_basis: str) -> Project:
    """Change what the project says about itself."""
    require(actor, Action.CREATE_PROJECT, project.owner)
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if visible_line(name) != project.name:
        _name_check(visible_line(name), project.owner, own=project.pk)
    wanted = {"name": visible_line(name), "goal": goal.strip(), "lawful_basis": lawful_basis.strip()}
    changes = {field: value for field, value in wanted.items() if getattr(project, field) != value}
    for field, value in changes.items():
        setattr(project, field, value)
    project.save()
    if changes:
        _recorded(actor, project, "project.changed", changes)
    return project


@service
def project_archive(*, actor: User, project: Project, archived: bool) -> Project:
    """Put a project away, or take it out again; nothing is deleted."""
    require(actor, Action.CREATE_PROJECT, project.owner)
    project = Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if project.is_archived != archived:
        project.is_archived = archived
        project.save()
        _recorded(actor, project, "project.archived" if archived else "project.restored", {})
    return project


@service
def participation_end(*, actor: User, participation: Participation) -> Participation:
    """An organisation leaves a project, or the owner removes it; the owner itself cannot leave.

    It comes back by a new invitation alone: those that are open are withdrawn.
    """
    project = participation.project
    own = participation.organisation
    if participation.organisation_id == project.owner_id:
        raise AppError("CL-1609", "The project's owner can't leave it.", "Archive the project.")
    require(actor, Action.INVITE_PARTNERS, _acting_for(actor, own, project.owner))
    runs_return_to_draft(
        actor=actor, runs=runs_with_party(own, project), why=f"{own.name} no longer takes part in {project.name}."
    )
    participation = Participation.objects.select_for_update(no_key=True).get(pk=participation.pk)
    live = project.runs.filter(state__in=LIVE_STATES, participants__organisation=own).first()
    if live is not None:
        raise AppError(
            "CL-1609", f"{own.name} takes part in {live.name}, which is in progress.", "Stop that run first."
        )
    if participation.is_active:
        own_datasets = project.datasets.filter(organisation=own)
        project.datasets.remove(*own_datasets)
        participation.is_active = False
        participation.save()
        invitations_end(actor=actor, project=project, organisation=own)
        _recorded(actor, project, "project.left", {"organisation": own.name})
    return participation


def _name_check(name: str, organisation: Organisation, *, own: str = "") -> None:
    """Refuse (CL-1613 to CL-1615) a name that another project has among those that the organisation takes part in."""
    name_check(name)
    mine = Participation.objects.filter(organisation=organisation, is_active=True).values("project_id")
    others = Project.objects.filter(pk__in=mine, is_archived=False).exclude(pk=own)
    other = alike_among(name, others.values_list("name", flat=True))
    if other is not None:
        raise AppError("CL-1615", f"{organisation.name} already takes part in a project named {other}.")


def _acting_for(actor: User, own: Organisation, owner: Organisation) -> Organisation:
    """For whom the person acts: the organisation that leaves, if they belong to it, else the owner."""
    from webapp.orgs.selectors import membership_of

    return own if membership_of(actor, own) else owner


def _recorded(actor: User, project: Project, action: str, details: dict[str, str]) -> None:
    audit_record(
        actor=actor,
        action=action,
        organisation_id=project.owner_id,
        project_id=project.pk,
        object_id=project.pk,
        details=dict(details),
    )
