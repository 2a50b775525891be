"""REST operations of `projects`."""

from __future__ import annotations

from django.http import HttpRequest
from ninja import Router

from webapp.accounts.api_auth import READ_AUTH, Principal, TokenAuth
from webapp.accounts.scopes import Scope
from webapp.core.idempotency import idempotent
from webapp.orgs.invitations import invite_partner
from webapp.orgs.mail import invitation_link
from webapp.orgs.schemas import InvitationOut, PartnerInvitationIn
from webapp.projects.schemas import ProjectIn, ProjectOut
from webapp.projects.selectors import project_get_for, projects_visible_to
from webapp.projects.services import project_archive, project_create, project_update

router = Router(tags=["projects"])


def _caller(request: HttpRequest) -> Principal:
    return request.auth  # type: ignore[attr-defined]


@router.get("", auth=READ_AUTH, response=list[ProjectOut])
def list_projects(request: HttpRequest, archived: bool = False) -> list[ProjectOut]:
    """The projects in which the organisation takes part."""
    found = projects_visible_to(_caller(request).user).filter(is_archived=archived)
    return [ProjectOut.of(project) for project in found]


@router.post("", auth=TokenAuth(Scope.RUNS_WRITE), response={201: ProjectOut})
@idempotent
def create_project(request: HttpRequest, payload: ProjectIn) -> tuple[int, ProjectOut]:
    """A new project of the organisation."""
    caller = _caller(request)
    project = project_create(actor=caller.user, organisation=caller.organisation, **payload.dict())
    return 201, ProjectOut.of(project)


@router.get("/{pub:project_id}", auth=READ_AUTH, response=ProjectOut)
def get_project(request: HttpRequest, project_id: str) -> ProjectOut:
    """One project."""
    return ProjectOut.of(project_get_for(user=_caller(request).user, project_id=project_id))


@router.put("/{pub:project_id}", auth=TokenAuth(Scope.RUNS_WRITE), response=ProjectOut)
def change_project(request: HttpRequest, project_id: str, payload: ProjectIn) -> ProjectOut:
    """Change name, purpose and lawful basis."""
    user = _caller(request).user
    project = project_get_for(user=user, project_id=project_id)
    return ProjectOut.of(project_update(actor=user, project=project, **payload.dict()))


@router.post("/{pub:project_id}/archive", auth=TokenAuth(Scope.RUNS_WRITE), response=ProjectOut)
def archive_project(request: HttpRequest, project_id: str, archived: bool = True) -> ProjectOut:
    """Put a project away, or (`archived=false`) take it out again."""
    user = _caller(request).user
    project = project_get_for(user=user, project_id=project_id)
    return ProjectOut.of(project_archive(actor=user, project=project, archived=archived))


@router.post("/{pub:project_id}/invitations", auth=TokenAuth(Scope.ADMIN), response={201: InvitationOut})
@idempotent
def invite(request: HttpRequest, project_id: str, payload: PartnerInvitationIn) -> tuple[int, InvitationOut]:
    """Invite a partner organisation; the answer holds the link, this once."""
    user = _caller(request).user
    invitation, token = invite_partner(
        actor=user,
        project=project_get_for(user=user, project_id=project_id),
        email=payload.email,
        party_kind=payload.party_kind,
        message=payload.message,
    )
    return 201, InvitationOut.of(invitation, invitation_link(token))
