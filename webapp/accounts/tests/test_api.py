"""The REST API: tokens, scopes, the organisation of a token, idempotency, the form of errors."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from splitcore.errors import AppError
from webapp.accounts.models import ApiToken
from webapp.accounts.services import token_create
from webapp.audit.models import AuditEntry
from webapp.orgs.models import Invitation, Organisation, Role
from webapp.orgs.services import membership_deactivate
from webapp.orgs.tests.factories import (
    PASSWORD,
    MembershipFactory,
    OrganisationFactory,
    ProjectFactory,
    api_token,
    member,
)
from webapp.projects.models import Project

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def organisation():
    return OrganisationFactory()


@pytest.fixture
def admin(organisation):
    return member(organisation)


def call(secret: str, method: str, path: str, body: dict | None = None, **headers):
    client = Client(headers={"Authorization": f"Bearer {secret}", **headers})
    data = json.dumps(body) if body is not None else ""
    return client.generic(method, f"/api/v1{path}", data, "application/json")


def test_me_says_who_the_token_acts_as(admin, organisation):
    answer = call(api_token(admin, organisation, "read"), "GET", "/me").json()
    assert (answer["user"]["email"], answer["organisation"]) == (admin.email, organisation.pk)
    assert (answer["role"], answer["scopes"]) == ("admin", ["read"])


@pytest.mark.promise(40, figure="0 in plain text")
def test_a_token_is_shown_once_and_stored_as_a_hash(admin, organisation):
    client = Client()
    client.post("/accounts/login/", {"login": admin.email, "password": PASSWORD})
    answer = client.post("/org/tokens", {"name": "nightly", "scopes": ["read"], "days": "7"})
    assert (answer.status_code, answer.url) == (302, "/org/tokens"), "reloading what follows makes no second token"
    kept = str([session.get_decoded() for session in Session.objects.all()])
    client.head("/org/tokens")
    page = client.get("/org/tokens").content.decode()
    token = ApiToken.objects.get()
    secret = page[page.index("clt_") : page.index("clt_") + 47]
    assert call(secret, "GET", "/me").status_code == 200
    assert secret not in client.get("/org/tokens").content.decode()
    assert "nightly" in kept
    assert secret not in kept
    assert secret not in str(list(ApiToken.objects.values())) + str(list(AuditEntry.objects.values()))
    assert token.expires_at - timezone.now() <= timedelta(days=7)


def test_a_new_token_that_nobody_came_for_is_not_shown_later(admin, organisation):
    client = Client()
    client.post("/accounts/login/", {"login": admin.email, "password": PASSWORD})
    with time_machine.travel(timezone.now() - timedelta(minutes=11)):
        client.post("/org/tokens", {"name": "nightly", "scopes": ["read"], "days": "7"})
    assert ApiToken.objects.exists()
    assert "Your new token" not in client.get("/org/tokens").content.decode()


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/projects", "read"),
        ("POST", "/projects", "runs:write"),
        ("POST", "/organisations/invitations", "admin"),
        ("GET", "/audit", "admin"),
    ],
)
def test_each_operation_needs_its_scope(admin, organisation, method, path, scope):
    others = {"read", "runs:write", "runs:control", "adapters:download", "admin"} - {scope}
    refused = call(api_token(admin, organisation, *others), method, path, {})
    assert refused.status_code == 403
    assert refused.json()["code"] == "CL-1604"
    assert scope in refused.json()["message"]
    assert call(api_token(admin, organisation, scope), method, path, {}).status_code in (200, 422)


def test_a_scope_gives_no_more_than_the_role(organisation):
    viewer = member(organisation, Role.VIEWER)
    refused = call(api_token(viewer, organisation), "POST", "/projects", {"name": "Mine"})
    assert (refused.status_code, refused.json()["code"]) == (403, "CL-1601")


def test_a_token_sees_its_own_organisation_only(admin, organisation):
    other = OrganisationFactory()
    MembershipFactory(user=admin, organisation=other)
    project = ProjectFactory(owner=other)
    secret = api_token(admin, organisation)
    assert call(secret, "GET", f"/projects/{project.pk}").status_code == 404
    assert [one["id"] for one in call(secret, "GET", "/organisations").json()] == [organisation.pk]
    assert call(api_token(admin, other), "GET", f"/projects/{project.pk}").status_code == 200


def test_an_expired_revoked_or_orphaned_token_is_refused(admin, organisation):
    secret = api_token(admin, organisation)
    ApiToken.objects.update(expires_at=timezone.now())
    assert call(secret, "GET", "/me").status_code == 401

    secret = api_token(admin, organisation)
    token = ApiToken.objects.latest("created_at")
    assert call(secret, "DELETE", f"/tokens/{token.pk}").json()["revoked_at"]
    assert call(secret, "GET", "/me").status_code == 401

    engineer = MembershipFactory(organisation=organisation, role=Role.ENGINEER)
    secret = api_token(engineer.user, organisation)
    membership_deactivate(actor=admin, membership=engineer)
    assert call(secret, "GET", "/me").status_code == 401


def test_a_token_made_before_the_rule_stops_when_its_owner_lacks_the_second_factor(admin, organisation):
    secret = api_token(admin, organisation)
    assert call(secret, "GET", "/me").status_code == 200
    Organisation.objects.update(require_second_factor=True)
    refused = call(secret, "GET", "/me")
    assert (refused.status_code, refused.json()["code"]) == (403, "CL-1607")
    TOTP.activate(admin, generate_totp_secret())
    assert call(secret, "GET", "/me").status_code == 200


def test_a_token_of_a_deactivated_organisation_is_refused(admin, organisation):
    secret = api_token(admin, organisation)
    Organisation.objects.update(is_active=False)
    assert call(secret, "GET", "/me").status_code == 401


@pytest.mark.promise(8, figure="after 10 tokens per minute")
def test_guessing_tokens_is_throttled_after_ten_in_a_minute():
    answers = [call(f"clt_guess{n}", "GET", "/me").status_code for n in range(100)]
    assert answers == [401] * 10 + [429] * 90
    refused = call("clt_guess", "GET", "/me")
    assert 0 < int(refused["Retry-After"]) <= 60
    assert refused.json()["details"]["retry_after"] == int(refused["Retry-After"])
    assert "password" not in refused.content.decode()


def test_a_valid_token_is_not_refused_for_the_wrong_ones_of_its_address(admin, organisation):
    secret = api_token(admin, organisation)
    for n in range(12):
        call(f"clt_guess{n}", "GET", "/me")
    assert call("clt_guess", "GET", "/me").status_code == 429
    assert call(secret, "GET", "/me").status_code == 200


def test_a_repeated_post_with_the_same_key_makes_one_object(admin, organisation):
    secret = api_token(admin, organisation)
    first = call(secret, "POST", "/projects", {"name": "Once"}, **{"Idempotency-Key": "k1"})
    second = call(secret, "POST", "/projects", {"name": "Once"}, **{"Idempotency-Key": "k1"})
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert Project.objects.count() == 1
    call(secret, "POST", "/projects", {"name": "Again"}, **{"Idempotency-Key": "k2"})
    assert Project.objects.count() == 2


def test_the_same_key_with_another_body_is_a_conflict(admin, organisation):
    secret = api_token(admin, organisation)
    call(secret, "POST", "/projects", {"name": "Once"}, **{"Idempotency-Key": "k1"})
    answer = call(secret, "POST", "/projects", {"name": "Twice"}, **{"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "CL-1605")


def test_the_key_of_another_token_is_another_key(admin, organisation):
    for name in ("Once", "Again"):  # under one token the second body would be a conflict
        secret = api_token(admin, organisation)
        call(secret, "POST", "/projects", {"name": name}, **{"Idempotency-Key": "k1"})
    assert Project.objects.count() == 2


def test_a_refused_request_may_be_sent_again_with_its_key(admin, organisation):
    secret = api_token(admin, organisation)
    body = {"email": admin.email, "role": "viewer"}
    refused = call(secret, "POST", "/organisations/invitations", body, **{"Idempotency-Key": "k"})
    assert refused.json()["code"] == "CL-1612"
    body["email"] = "new@example.org"
    again = call(secret, "POST", "/organisations/invitations", body, **{"Idempotency-Key": "k"})
    assert again.status_code == 201


def test_an_invitations_secret_is_not_kept_for_the_idempotency_key(admin, organisation):
    from webapp.accounts.models import IdempotentAnswer

    secret = api_token(admin, organisation)
    body = {"email": "new@example.org", "role": "viewer"}
    first = call(secret, "POST", "/organisations/invitations", body, **{"Idempotency-Key": "k"}).json()
    again = call(secret, "POST", "/organisations/invitations", body, **{"Idempotency-Key": "k"}).json()
    assert "/invite/cli_" in first["link"]
    assert again["id"] == first["id"]
    assert again["link"] == ""
    assert "cli_" not in str(list(IdempotentAnswer.objects.values()))
    assert Invitation.objects.count() == 1


def test_a_partner_is_invited_over_the_api(admin, organisation):
    project = ProjectFactory(owner=organisation, created_by=admin)
    body = {"email": "g@example.org", "party_kind": "compute"}
    answer = call(api_token(admin, organisation), "POST", f"/projects/{project.pk}/invitations", body)
    assert answer.status_code == 201
    link = answer.json()["link"]
    assert Client().get(link[link.index("/invite/") :], follow=True).status_code == 200


@pytest.mark.parametrize("body", [{}, {"email": "no address", "role": "viewer"}, {"email": "a@b.org", "role": "god"}])
def test_a_malformed_body_names_the_field(admin, organisation, body):
    answer = call(api_token(admin, organisation), "POST", "/organisations/invitations", body)
    assert answer.status_code == 422
    assert answer.json()["code"] == "CL-1001"
    assert "email" in json.dumps(answer.json()) or "role" in json.dumps(answer.json())


def test_an_unknown_object_is_404(admin, organisation):
    secret = api_token(admin, organisation)
    for path in ("/projects/prj_nope", "/organisations/org_nope", "/organisations/org_nope/people"):
        assert call(secret, "GET", path).status_code == 404
    assert call(secret, "DELETE", "/tokens/tok_nope").status_code == 404


@pytest.mark.parametrize(("scopes", "days"), [([], 7), (["everything"], 7), (["read"], 0), (["read"], 400)])
def test_a_token_without_sense_is_not_made(admin, organisation, scopes, days):
    with pytest.raises(AppError, match="CL-1609"):
        token_create(actor=admin, organisation=organisation, name="x", scopes=scopes, days=days)


def test_the_audit_log_is_read_and_verified_over_the_api(admin, organisation):
    secret = api_token(admin, organisation)
    call(secret, "POST", "/projects", {"name": "Once"})
    entries = call(secret, "GET", "/audit").json()
    assert [entry["action"] for entry in entries] == ["project.created"]
    assert call(secret, "GET", "/audit/verify").json()["ok"] is True


def test_an_invitation_is_found_and_answered_over_the_api(admin, organisation):
    project = ProjectFactory(owner=organisation, created_by=admin)
    partner = MembershipFactory()
    secret = api_token(partner.user, partner.organisation)
    body = {"email": partner.user.email, "party_kind": "compute"}
    call(api_token(admin, organisation), "POST", f"/projects/{project.pk}/invitations", body)
    (received,) = call(secret, "GET", "/organisations/invitations/received").json()
    assert (received["project"], received["party_kind"]) == (project.pk, "compute")
    assert call(secret, "GET", f"/projects/{project.pk}").status_code == 404
    answer = call(secret, "POST", "/organisations/invitations/answer", {"invitation": received["id"], "accept": True})
    assert answer.json()["state"] == "accepted"
    assert call(secret, "GET", f"/projects/{project.pk}").status_code == 200


def test_an_invitation_is_declined_over_the_api_with_a_reason(admin, organisation):
    partner = MembershipFactory()
    secret = api_token(partner.user, partner.organisation)
    body = {"email": partner.user.email, "role": "viewer"}
    made = call(api_token(admin, organisation), "POST", "/organisations/invitations", body).json()
    answer = {"invitation": made["link"].rsplit("/", 1)[1], "accept": False, "reason": "No time"}
    assert call(secret, "POST", "/organisations/invitations/answer", answer).json()["state"] == "declined"
    assert Invitation.objects.get().decline_reason == "No time"
