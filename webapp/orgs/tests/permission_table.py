"""The permission table: one row a route, the expected answer for each kind of person.

Each app lists its routes in `tests/permission_rows.py` as `ROWS: list[Row]`; tests/integration/test_permission_table.py
collects them, fails for a route without a row, and asks each row's question for each actor.

    Row("projects:detail", {"GET": seen(200)}, {"project_id": "project"})

The third argument fills the route's parameters: a text that names an entry of `world.ids` (or, prefixed with "=", the
text itself). An app that needs objects of its own adds them with `@builds`:

    @builds
    def build(world: World) -> None:
        world.ids["worker"] = WorkerFactory(organisation=world.own).pk

Actors: anonymous; stranger (admin of an organisation that shares nothing with the own one); partner (viewer of an
organisation in the same project) and partner_admin (its administrator); viewer and admin of the own organisation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from webapp.accounts.models import User
from webapp.orgs.models import Organisation, Role
from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory, ProjectFactory, member
from webapp.projects.models import Project

ACTORS = ("anonymous", "stranger", "partner", "partner_admin", "viewer", "admin")
SIGN_IN = 302  # a page sends visitors to the sign-in page


@dataclass
class World:
    """Three organisations and a project of the first two; apps add their objects' ids."""

    own: Organisation
    partner_organisation: Organisation
    stranger_organisation: Organisation
    project: Project
    users: dict[str, User]
    ids: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What a route answers, by method and actor.

    `route` is the view's name ("orgs:people"), for REST "GET /api/v1/projects/{project_id}", for a socket
    "ws/runs/<str:run_id>/". `data` maps a method to the body (a form, or JSON for the API; GET: the query), in which
    texts that name an entry of `world.ids` in braces ("{member}") are filled in. `kind`: page | api | worker.
    """

    route: str
    expect: dict[str, dict[str, int]]
    params: dict[str, str] = field(default_factory=dict)
    data: dict[str, dict[str, Any]] = field(default_factory=dict)
    kind: str = "page"


def expect(
    anonymous: int, stranger: int, partner: int, viewer: int, admin: int, *, partner_admin: int | None = None
) -> dict[str, int]:
    """The answer for each actor.

    Unless it is listed, the partner's administrator gets the stranger's answer where the route is about one's own
    organisation (both administer one), and the partner's where it names an object that a stranger does not find.
    """
    if partner_admin is None:
        partner_admin = partner if stranger == 404 else stranger
    return dict(zip(ACTORS, (anonymous, stranger, partner, partner_admin, viewer, admin), strict=True))


def public(status: int = 200) -> dict[str, int]:
    """The same for everyone."""
    return expect(status, status, status, status, status)


def members(status: int = 200, anonymous: int = SIGN_IN) -> dict[str, int]:
    """For every signed-in person: a page that shows each their own."""
    return expect(anonymous, status, status, status, status)


def shared(status: int = 200, anonymous: int = SIGN_IN) -> dict[str, int]:
    """An object of the project: the partner sees it too, a stranger gets 404."""
    return expect(anonymous, 404, status, status, status)


def private(status: int = 200, anonymous: int = SIGN_IN) -> dict[str, int]:
    """An object of the own organisation alone."""
    return expect(anonymous, 404, 404, status, status)


def admins(
    status: int = 302,
    *,
    partner: int = 404,
    viewer: int = 403,
    anonymous: int = SIGN_IN,
    partner_admin: int | None = None,
) -> dict[str, int]:
    """A change that the own administrator may make; a viewer is refused, others do not find the object."""
    return expect(anonymous, 404, partner, viewer, status, partner_admin=partner_admin)


_BUILDERS: list[Callable[[World], None]] = []


def builds(builder: Callable[[World], None]) -> Callable[[World], None]:
    """Register a function that adds an app's objects to the world."""
    _BUILDERS.append(builder)
    return builder


def make_world() -> World:
    """Build the organisations, people, project, and what the apps add."""
    own, partner, stranger = OrganisationFactory(), OrganisationFactory(), OrganisationFactory()
    users = {
        "stranger": member(stranger),
        "partner": member(partner, Role.VIEWER),
        "partner_admin": member(partner),
        "viewer": member(own, Role.VIEWER),
        "admin": member(own),
    }
    project = ProjectFactory(owner=own, created_by=users["admin"])
    ParticipationFactory(project=project, organisation=partner)
    world = World(own, partner, stranger, project, users)
    world.ids |= {"organisation": own.pk, "project": project.pk}
    for builder in _BUILDERS:
        builder(world)
    return world
