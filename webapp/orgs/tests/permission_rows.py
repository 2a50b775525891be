"""Who gets what from the routes of `orgs`."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from webapp.core.ids import token_hash
from webapp.orgs.models import Invitation, Membership, Role
from webapp.orgs.tests.factories import member
from webapp.orgs.tests.permission_table import Row, World, admins, builds, expect, members, private, public

BUTTON = expect(302, 405, 405, 405, 405)  # a GET of what takes POST alone
MEMBER = {"membership_id": "member"}
INVITATION = {"invitation_id": "invitation"}
KEY = {"key": "invitation_token"}


@builds
def build(world: World) -> None:
    """A colleague, a former one, and an open invitation."""
    for name, active in (("member", True), ("former", False)):
        person = member(world.own, Role.ENGINEER)
        Membership.objects.filter(user=person).update(is_active=active)
        world.ids[name] = Membership.objects.get(user=person).pk
    world.ids["invitation_token"] = "cli_known"
    world.ids["invitation"] = Invitation.objects.create(
        organisation=world.own,
        email="invited@example.org",
        role=Role.VIEWER,
        token_hash=token_hash("cli_known"),
        expires_at=timezone.now() + timedelta(days=7),
        created_by=world.users["admin"],
    ).pk


PERSON = {"email": "new@example.org", "role": "viewer", "message": ""}

ROWS = [
    Row(
        "orgs:new",
        {"GET": members(), "POST": members(302)},
        data={"POST": {"name": "A new organisation", "kind": "data"}},
    ),
    Row(
        "orgs:switch",
        {"GET": BUTTON, "POST": expect(302, 404, 404, 302, 302)},
        data={"POST": {"organisation": "{organisation}"}},
    ),
    Row(
        "orgs:profile",
        {"GET": members(), "POST": expect(302, 302, 403, 403, 302)},
        data={"POST": {"name": "Renamed", "kind": "data", "contact_email": "", "dpo_email": ""}},
    ),
    Row("orgs:people", {"GET": members()}),
    Row("orgs:person_role", {"GET": BUTTON, "POST": admins()}, MEMBER, {"POST": {"role": "viewer"}}),
    Row("orgs:person_deactivate", {"GET": BUTTON, "POST": admins()}, MEMBER),
    Row("orgs:person_reactivate", {"GET": BUTTON, "POST": admins()}, {"membership_id": "former"}),
    Row("orgs:invitations", {"GET": members()}),
    Row(
        "orgs:invite",
        {"GET": expect(302, 200, 403, 403, 200), "POST": expect(302, 200, 403, 403, 200)},
        data={"POST": PERSON},
    ),
    Row("orgs:invitation_resend", {"GET": BUTTON, "POST": admins(200)}, INVITATION),
    Row("orgs:invitation_revoke", {"GET": BUTTON, "POST": admins()}, INVITATION),
    # The link is public by design, and leads to the invitation's id: that opens for who came by the link, and for the
    # invited address. A token in the address of an answer answers nothing.
    Row("orgs:invitation", {"GET": public(302)}, KEY),
    Row("orgs:invitation_accept", {"GET": public(405), "POST": public(302)}, KEY),
    Row("orgs:invitation_decline", {"GET": public(405), "POST": public(302)}, KEY),
    Row("GET /api/v1/organisations", {"GET": members(anonymous=401)}, kind="api"),
    Row(
        "GET /api/v1/organisations/{organisation_id}",
        {"GET": private(anonymous=401)},
        {"organisation_id": "organisation"},
        kind="api",
    ),
    Row(
        "GET /api/v1/organisations/{organisation_id}/people",
        {"GET": private(anonymous=401)},
        {"organisation_id": "organisation"},
        kind="api",
    ),
    Row("GET /api/v1/organisations/invitations", {"GET": members(anonymous=401)}, kind="api"),
    Row("GET /api/v1/organisations/invitations/received", {"GET": members(anonymous=401)}, kind="api"),
    Row(
        "POST /api/v1/organisations/invitations/answer",
        {"POST": members(403, anonymous=401)},  # for another address
        data={"POST": {"invitation": "cli_known", "accept": True}},
        kind="api",
    ),
    Row(
        "POST /api/v1/organisations/invitations",
        {"POST": expect(401, 201, 403, 403, 201)},
        data={"POST": PERSON},
        kind="api",
    ),
    Row(
        "POST /api/v1/organisations/invitations/{invitation_id}/resend",
        {"POST": admins(201, anonymous=401)},
        INVITATION,
        kind="api",
    ),
    Row(
        "POST /api/v1/organisations/invitations/{invitation_id}/revoke",
        {"POST": admins(200, anonymous=401)},
        INVITATION,
        kind="api",
    ),
    Row(
        "PATCH /api/v1/organisations/people/{membership_id}/role",
        {"PATCH": admins(200, anonymous=401)},
        MEMBER,
        {"PATCH": {"role": "viewer"}},
        kind="api",
    ),
    Row(
        "POST /api/v1/organisations/people/{membership_id}/deactivate",
        {"POST": admins(200, anonymous=401)},
        MEMBER,
        kind="api",
    ),
    Row(
        "POST /api/v1/organisations/people/{membership_id}/reactivate",
        {"POST": admins(200, anonymous=401)},
        {"membership_id": "former"},
        kind="api",
    ),
]
