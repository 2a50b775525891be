"""Accepting an invitation: who may, with which organisation, and what becomes of it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from splitcore.errors import AppError
from webapp.orgs.invitations import (
    invitation_accept_partner,
    invitation_accept_person,
    invite_partner,
    invite_person,
)
from webapp.orgs.models import Invitation, Membership, Organisation, Role
from webapp.orgs.tests.factories import (
    MembershipFactory,
    OrganisationFactory,
    UserFactory,
)
from webapp.orgs.tests.invited import accept_as, opened, signed_in
from webapp.projects.models import Participation

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


TABLES = (Participation._meta.db_table, Invitation._meta.db_table)  # docs/architecture.md, the order of locks


def test_accepting_makes_the_person_a_member_with_the_invited_role_and_works_once(admin, organisation):
    user = UserFactory()
    _, token = invite_person(actor=admin, organisation=organisation, email=user.email, role="steward")
    client = signed_in(user)
    answer = client.post(f"{opened(client, token)}/accept")
    assert answer.url == "/home"
    assert Membership.objects.get(user=user, organisation=organisation).role == Role.STEWARD
    again = client.post(f"{opened(client, token)}/accept")
    assert again.status_code == 403
    assert "CL-1602" in again.content.decode()
    assert client.get(f"/invite/{token}", follow=True).status_code == 410


def test_another_account_cannot_accept_a_persons_invitation(admin, organisation):
    _, token = invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="admin")
    other = UserFactory()
    client = signed_in(other)
    assert "signed in as" in client.get(f"/invite/{token}", follow=True).content.decode()
    answer = client.post(f"{opened(client, token)}/accept")
    assert answer.status_code == 403
    assert "CL-1608" in answer.content.decode()
    assert not Membership.objects.filter(user=other).exists()


def test_an_unverified_address_cannot_accept(admin, organisation):
    user = UserFactory()
    user.emailaddress_set.update(verified=False)
    invitation, _ = invite_person(actor=admin, organisation=organisation, email=user.email, role="viewer")
    with pytest.raises(AppError, match="CL-1608"):
        invitation_accept_person(actor=user, invitation=invitation)


def test_an_active_member_does_not_change_role_by_a_link(admin, organisation):
    user = UserFactory()
    invitation, _ = invite_person(actor=admin, organisation=organisation, email=user.email, role="admin")
    MembershipFactory(user=user, organisation=organisation, role=Role.VIEWER)
    with pytest.raises(AppError, match="CL-1609"):
        invitation_accept_person(actor=user, invitation=invitation)


def test_a_partner_joins_a_project_with_a_new_organisation(admin, project):
    user = UserFactory()
    _, token = invite_partner(actor=admin, project=project, email=user.email, party_kind="compute")
    client = signed_in(user)
    refused = client.post(f"{opened(client, token)}/accept", {"organisation": "", "name": "GPU House"})
    assert refused.status_code == 422  # the box that says "I have read" is not ticked
    answer = client.post(
        f"{opened(client, token)}/accept", {"organisation": "", "name": "GPU House", "understood": "on"}
    )
    assert answer.url == "/home"
    joined = Organisation.objects.get(name="GPU House")
    assert (joined.kind, Participation.objects.get(organisation=joined).kind) == ("compute", "compute")
    assert client.get(f"/projects/{project.pk}").status_code == 200
    assert Invitation.objects.get().accepted_organisation == joined


def test_a_partner_joins_with_an_organisation_that_the_person_administers(admin, project):
    membership = MembershipFactory()
    _, token = invite_partner(actor=admin, project=project, email=membership.user.email, party_kind="data")
    data = {"organisation": membership.organisation_id, "name": "", "understood": "on"}
    assert accept_as(membership.user, token, data).url == "/home"
    assert Participation.objects.filter(project=project, organisation=membership.organisation).exists()


def join_page(user, token: str) -> str:
    return signed_in(user).get(f"/invite/{token}", follow=True).content.decode()


def test_the_only_own_organisation_is_chosen_and_a_name_is_asked_of_a_new_one_alone(admin, project):
    own = MembershipFactory()
    _, token = invite_partner(actor=admin, project=project, email=own.user.email, party_kind="data")
    page = join_page(own.user, token)
    options = re.findall(r'<option value="([^"]*)"', page[page.index('name="organisation"') :])
    assert options == [own.organisation_id, "new"]  # the browser chooses the first
    assert "optional" not in page[page.index('name="organisation"') : page.index('name="understood"')]
    unnamed = accept_as(own.user, token, {"organisation": "new", "name": "", "understood": "on"})
    assert (unnamed.status_code, "Enter the name of the organisation that will join." in unnamed.content.decode()) == (
        422,
        True,
    )
    assert (
        accept_as(own.user, token, {"organisation": "new", "name": "Second House", "understood": "on"}).url == "/home"
    )
    assert Participation.objects.filter(project=project, organisation__name="Second House").exists()


def test_among_several_own_organisations_the_person_chooses(admin, project):
    user = UserFactory()
    ours = [MembershipFactory(user=user).organisation for _ in range(2)]
    _, token = invite_partner(actor=admin, project=project, email=user.email, party_kind="data")
    options = re.findall(r'<option value="([^"]*)"', join_page(user, token).partition('name="organisation"')[2])
    assert (options[0], set(options)) == ("", {"", "new", *(one.pk for one in ours)})
    unchosen = accept_as(user, token, {"organisation": "", "name": "", "understood": "on"})
    assert "Choose the organisation that will join." in unchosen.content.decode()
    assert "Enter the name of the organisation" not in unchosen.content.decode()


def test_who_has_no_organisation_only_names_the_new_one(admin, project):
    user = UserFactory()
    _, token = invite_partner(actor=admin, project=project, email=user.email, party_kind="data")
    page = join_page(user, token)
    assert 'name="organisation"' not in page[page.index('action="/invite/') :]
    assert re.search(r'name="name"[^>]*aria-required="true"', page)


def test_nobody_commits_an_organisation_that_they_do_not_administer(admin, project):
    stranger, target = UserFactory(), OrganisationFactory()
    engineer = MembershipFactory(organisation=target, role=Role.ENGINEER).user
    for user in (stranger, engineer):
        invitation, token = invite_partner(actor=admin, project=project, email=user.email, party_kind="data")
        with pytest.raises(AppError, match="CL-1601"):
            invitation_accept_partner(actor=user, invitation=invitation, organisation=target)
        data = {"organisation": target.pk, "name": "", "understood": "on"}
        assert accept_as(user, token, data).status_code == 422
    assert not Participation.objects.filter(organisation=target).exists()


def test_a_failed_acceptance_leaves_no_organisation_behind(admin, project):
    user = UserFactory()
    invitation, token = invite_partner(actor=admin, project=project, email=user.email, party_kind="data")
    Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    data = {"organisation": "", "name": "Half Made", "understood": "on"}
    assert accept_as(user, token, data).status_code == 403
    assert not Organisation.objects.filter(name="Half Made").exists()


def test_nobody_joins_an_archived_project(admin, project):
    partner = MembershipFactory()
    invitation, _ = invite_partner(actor=admin, project=project, email=partner.user.email, party_kind="data")
    project.is_archived = True
    project.save()
    with pytest.raises(AppError, match="CL-1609"):
        invitation_accept_partner(actor=partner.user, invitation=invitation, organisation=partner.organisation)


def test_a_link_in_other_hands_commits_no_organisation_to_the_project(admin, project):
    stranger = MembershipFactory()
    invitation, token = invite_partner(actor=admin, project=project, email="g@example.org", party_kind="data")
    client = signed_in(stranger.user)
    page = client.get(f"/invite/{token}", follow=True).content.decode()
    assert "signed in as" in page
    assert "Accept and join" not in page
    data = {"organisation": stranger.organisation_id, "name": "", "understood": "on"}
    answer = client.post(f"/invite/{invitation.pk}/accept", data)
    assert answer.status_code == 403
    assert "CL-1608" in answer.content.decode()
    with pytest.raises(AppError, match="CL-1608"):
        invitation_accept_partner(actor=stranger.user, invitation=invitation, organisation=stranger.organisation)
    assert not Participation.objects.filter(organisation=stranger.organisation).exists()
    assert client.get(f"/projects/{project.pk}").status_code == 404


def test_a_partner_with_an_address_that_is_not_verified_joins_nothing(admin, project):
    partner = MembershipFactory()
    partner.user.emailaddress_set.update(verified=False)
    invitation, _ = invite_partner(actor=admin, project=project, email=partner.user.email, party_kind="data")
    with pytest.raises(AppError, match="CL-1608"):
        invitation_accept_partner(actor=partner.user, invitation=invitation, organisation=partner.organisation)


def test_a_second_verified_address_of_the_account_may_accept(admin, project):
    partner = MembershipFactory()
    partner.user.emailaddress_set.create(email="g@example.org", verified=True)
    _, token = invite_partner(actor=admin, project=project, email="g@example.org", party_kind="data")
    data = {"organisation": partner.organisation_id, "name": "", "understood": "on"}
    assert accept_as(partner.user, token, data).url == "/home"


def test_accepting_locks_the_participation_before_the_invitation(admin, project):
    membership = MembershipFactory()
    invitation, _ = invite_partner(actor=admin, project=project, email=membership.user.email, party_kind="data")
    with CaptureQueriesContext(connection) as queries:
        invitation_accept_partner(actor=membership.user, invitation=invitation, organisation=membership.organisation)
    read = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    places = [next(at for at, sql in enumerate(read) if f'FROM "{table}"' in sql) for table in TABLES]
    assert places == sorted(places)
