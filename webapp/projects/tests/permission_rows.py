"""Who gets what from the routes of `projects`."""

from __future__ import annotations

from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory
from webapp.orgs.tests.permission_table import Row, World, admins, builds, expect, members, shared

PROJECT = {"project_id": "project"}
FORM = {"name": "Another name", "goal": "", "lawful_basis": ""}
INVITATION = {"email": "new@example.org", "party_kind": "data", "message": ""}


@builds
def build(world: World) -> None:
    """A third organisation in the project, which the owner may remove."""
    third = OrganisationFactory()
    world.ids["participation"] = ParticipationFactory(project=world.project, organisation=third).pk


ROWS = [
    Row("projects:home", {"GET": members()}),
    Row("projects:list", {"GET": members()}),
    Row(
        "projects:new",
        {"GET": expect(302, 200, 403, 403, 200), "POST": expect(302, 302, 403, 403, 302)},
        data={"POST": FORM},
    ),
    Row("projects:detail", {"GET": shared()}, PROJECT),
    Row("projects:tab", {"GET": shared()}, {**PROJECT, "tab": "=activity"}),
    Row("projects:edit", {"GET": admins(200, partner=403), "POST": admins(partner=403)}, PROJECT, {"POST": FORM}),
    Row("projects:archive", {"GET": expect(302, 405, 405, 405, 405), "POST": admins(partner=403)}, PROJECT),
    Row(
        "projects:invite",
        {"GET": admins(200, partner=403), "POST": admins(200, partner=403)},
        PROJECT,
        {"POST": INVITATION},
    ),
    Row(
        "projects:participation_end",
        {"GET": expect(302, 405, 405, 405, 405), "POST": admins(partner=403)},
        {**PROJECT, "participation_id": "participation"},
    ),
    Row("GET /api/v1/projects", {"GET": members(anonymous=401)}, kind="api"),
    Row("POST /api/v1/projects", {"POST": expect(401, 201, 403, 403, 201)}, data={"POST": FORM}, kind="api"),
    Row("GET /api/v1/projects/{project_id}", {"GET": shared(anonymous=401)}, PROJECT, kind="api"),
    Row(
        "PUT /api/v1/projects/{project_id}",
        {"PUT": admins(200, partner=403, anonymous=401)},
        PROJECT,
        {"PUT": FORM},
        kind="api",
    ),
    Row(
        "POST /api/v1/projects/{project_id}/archive",
        {"POST": admins(200, partner=403, anonymous=401)},
        PROJECT,
        kind="api",
    ),
    Row(
        "POST /api/v1/projects/{project_id}/invitations",
        {"POST": admins(201, partner=403, anonymous=401)},
        PROJECT,
        {"POST": INVITATION},
        kind="api",
    ),
]
