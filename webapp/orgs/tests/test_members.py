"""Roles, the last administrator, switching, the second factor."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.test import Client

from splitcore.errors import AppError
from webapp.orgs.invitations import invitation_accept_partner, invite_partner
from webapp.orgs.models import Membership, Organisation, PartyKind, Role
from webapp.orgs.permissions import MATRIX, Action, can, require, why_not
from webapp.orgs.selectors import membership_of
from webapp.orgs.services import (
    membership_deactivate,
    membership_role_change,
    organisation_create,
    organisation_update,
)
from webapp.orgs.tests.factories import MembershipFactory, OrganisationFactory, ProjectFactory, UserFactory, member

pytestmark = pytest.mark.django_db


def signed_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_every_action_has_its_roles_and_the_admin_has_every_action():
    assert set(MATRIX) == set(Action)
    assert all(Role.ADMIN in roles for roles in MATRIX.values())
    assert not any(Role.VIEWER in roles for roles in MATRIX.values())


@pytest.mark.parametrize(
    ("kind", "steward", "operator"),
    [(PartyKind.DATA, True, False), (PartyKind.COMPUTE, False, True), (PartyKind.BOTH, True, True)],
)
def test_approval_follows_what_the_organisation_brings(kind, steward, operator):
    organisation = OrganisationFactory(kind=kind)
    assert can(member(organisation, Role.STEWARD), Action.APPROVE_RUN, organisation) is steward
    assert can(member(organisation, Role.OPERATOR), Action.APPROVE_RUN, organisation) is operator
    assert can(member(organisation), Action.APPROVE_RUN, organisation)
    assert not can(member(organisation, Role.ENGINEER), Action.APPROVE_RUN, organisation)


def test_a_refusal_names_the_missing_role_and_who_can_grant_it():
    organisation = OrganisationFactory(name="Clinic A")
    member(organisation, name="Ada")
    engineer = member(organisation, Role.ENGINEER)
    reason = why_not(engineer, Action.ENROL_WORKER, organisation)
    for part in ("Compute operator", "Organisation admin", "ML engineer", "Ada", "Clinic A"):
        assert part in reason
    with pytest.raises(AppError, match="CL-1601"):
        require(engineer, Action.ENROL_WORKER, organisation)


def test_roles_count_in_their_own_organisation_alone():
    admin, other = MembershipFactory().user, OrganisationFactory()
    assert not any(can(admin, action, other) for action in Action)


def test_the_last_administrator_stays():
    membership = MembershipFactory()
    for change in (
        lambda: membership_role_change(actor=membership.user, membership=membership, role="viewer"),
        lambda: membership_deactivate(actor=membership.user, membership=membership),
    ):
        with pytest.raises(AppError, match="CL-1606"):
            change()
    MembershipFactory(organisation=membership.organisation)
    membership_deactivate(actor=membership.user, membership=membership)
    assert not Membership.objects.get(pk=membership.pk).is_active


def test_a_deactivated_administrator_does_not_count_as_one():
    membership = MembershipFactory()
    MembershipFactory(organisation=membership.organisation, is_active=False)
    MembershipFactory(organisation=membership.organisation, user=UserFactory(is_active=False))
    with pytest.raises(AppError, match="CL-1606"):
        membership_role_change(actor=membership.user, membership=membership, role="viewer")


def test_a_deactivated_member_sees_nothing_at_once():
    membership = MembershipFactory()
    user = member(membership.organisation, Role.ENGINEER)
    client = signed_in(user)
    assert client.get("/org").status_code == 200
    membership_deactivate(actor=membership.user, membership=Membership.objects.get(user=user))
    assert client.get("/org").url == "/organisations/new"


def test_anyone_may_leave_and_nobody_else_but_an_admin_may_deactivate():
    membership = MembershipFactory()
    engineer = MembershipFactory(organisation=membership.organisation, role=Role.ENGINEER)
    viewer = MembershipFactory(organisation=membership.organisation, role=Role.VIEWER)
    with pytest.raises(AppError, match="CL-1601"):
        membership_deactivate(actor=engineer.user, membership=viewer)
    membership_deactivate(actor=engineer.user, membership=engineer)
    assert not Membership.objects.get(pk=engineer.pk).is_active


def test_the_last_admin_guard_is_told_on_the_page():
    membership = MembershipFactory()
    page = signed_in(membership.user).post(f"/org/people/{membership.pk}/role", {"role": "viewer"}, follow=True)
    assert "CL-1606" in page.content.decode()


def test_a_role_is_changed_by_its_button_alone_and_taken_from_an_administrator_after_a_question():
    membership = MembershipFactory()
    colleagues = {
        role: MembershipFactory(organisation=membership.organisation, role=role) for role in (Role.ADMIN, Role.ENGINEER)
    }
    page = signed_in(membership.user).get("/org/people").content.decode()
    assert "data-submit-on-change" not in page
    forms = dict(re.findall(r'<form[^>]*action="/org/people/([^/"]+)/role"[^>]*>(.*?)</form>', page, re.DOTALL))
    assert set(forms) == {membership.pk, *(one.pk for one in colleagues.values())}
    dialogs = {pk for pk in forms if f'<dialog class="cl-dialog"\n        id="role-of-{pk}"' in page}
    assert dialogs == {membership.pk, colleagues[Role.ADMIN].pk}
    assert all(page.count(f'data-dialog-open="role-of-{pk}"') == 1 for pk in dialogs)
    assert all('value="admin"' not in forms[pk] for pk in dialogs)  # the question is about another role


def test_an_organisations_name_is_unique_whatever_its_case():
    user = UserFactory()
    organisation_create(actor=user, name="Clinic A", kind="data")
    with pytest.raises(AppError, match="CL-1605"):
        organisation_create(actor=UserFactory(), name="  clinic   a ", kind="data")


def test_names_without_latin_letters_get_a_slug_of_their_own():
    user = UserFactory()
    slugs = {organisation_create(actor=user, name=name, kind="data").slug for name in ("病院", "医院", "Clinic")}
    assert len(slugs) == 3
    assert all(slugs)


def test_letters_without_an_accent_to_drop_stay_readable_in_the_slug():
    names = {"Østergård Labs": "ostergard-labs", "Straße & Łódź": "strasse-lodz", "Þórður": "thordur"}
    for name, slug in names.items():
        assert organisation_create(actor=UserFactory(), name=name, kind="data").slug == slug


def test_switching_changes_for_whom_the_person_acts():
    user = UserFactory()
    first, second = (MembershipFactory(user=user).organisation for _ in range(2))
    client = signed_in(user)
    assert client.get("/org").context["request"].organisation == first
    client.post("/organisations/switch", {"organisation": second.pk})
    assert client.get("/org").context["request"].organisation == second


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_switching_leads_to_no_other_site(target):
    membership = MembershipFactory()
    data = {"organisation": membership.organisation_id, "next": target}
    assert signed_in(membership.user).post("/organisations/switch", data).url == "/home"


def test_a_form_field_that_is_not_listed_changes_nothing():
    membership = MembershipFactory()
    organisation = membership.organisation
    data = {"name": "N", "kind": "data", "slug": "stolen", "is_active": "", "id": "org_x"}
    signed_in(membership.user).post("/org", {**data, "name": "New Name"})
    organisation.refresh_from_db()
    assert organisation.name == "New Name"
    assert organisation.slug != "stolen"
    assert organisation.is_active


def with_second_factor(user):
    TOTP.activate(user, generate_totp_secret())
    return user


def test_a_required_second_factor_leads_to_its_set_up_before_any_page():
    organisation = OrganisationFactory(require_second_factor=True)
    client = signed_in(member(organisation))
    for path in ("/home", "/org", "/projects", "/audit"):
        assert client.get(path).url.startswith("/accounts/2fa/totp/activate/")
    assert client.get("/accounts/2fa/").status_code == 200
    assert client.get("/api/v1/me").json()["code"] == "CL-1607"


def test_recovery_codes_alone_are_no_second_factor():
    organisation = OrganisationFactory(require_second_factor=True)
    user = member(organisation)
    Authenticator.objects.create(user=user, type=Authenticator.Type.RECOVERY_CODES, data={})
    assert membership_of(user, organisation) is None


def test_an_administrator_without_the_demanded_second_factor_commits_the_organisation_to_nothing():
    strict = member(OrganisationFactory(require_second_factor=True))
    organisation = strict.organisations.get()
    owner = member(OrganisationFactory())
    project = ProjectFactory(owner=owner.organisations.get(), created_by=owner)
    invitation, token = invite_partner(actor=owner, project=project, email=strict.email, party_kind="data")
    client = signed_in(strict)
    assert client.get(f"/invite/{token}", follow=True).status_code == 200
    data = {"organisation": organisation.pk, "name": "", "understood": "on"}
    answer = client.post(f"/invite/{invitation.pk}/accept", data)
    assert answer.url.startswith("/accounts/2fa/totp/activate/")
    with pytest.raises(AppError, match="CL-1607"):
        invitation_accept_partner(actor=strict, invitation=invitation, organisation=organisation)
    assert not organisation.participations.exists()


def test_whoever_has_given_a_second_factor_passes():
    organisation = OrganisationFactory(require_second_factor=True)
    client = signed_in(with_second_factor(member(organisation)))
    session = client.session
    session["account_authentication_methods"] = [{"method": "password", "at": 0}, {"method": "mfa", "at": 1}]
    session.save()
    assert client.get("/home").status_code == 200


def test_a_session_that_began_without_the_second_factor_is_asked_for_it():
    organisation = OrganisationFactory(require_second_factor=True)
    client = signed_in(with_second_factor(member(organisation)))
    assert client.get("/org/people?page=2").url == "/accounts/2fa/reauthenticate/?next=%2Forg%2Fpeople%3Fpage%3D2"
    assert client.post("/org/tokens", {"name": "x", "scopes": ["read"], "days": 7}).url.endswith("?next=%2Fhome")
    assert client.get("/api/v1/me").json()["code"] == "CL-1607"


def test_acting_for_another_organisation_does_not_get_round_the_second_factor():
    strict, easy = OrganisationFactory(require_second_factor=True), OrganisationFactory()
    user = member(easy)
    MembershipFactory(user=user, organisation=strict)
    client = signed_in(user)
    client.post("/organisations/switch", {"organisation": easy.pk})
    assert client.get("/projects").status_code == 302


def test_an_admin_sets_up_the_own_second_factor_before_requiring_it():
    membership = MembershipFactory()
    wanted = {
        "name": membership.organisation.name,
        "kind": "data",
        "contact_email": "",
        "dpo_email": "",
        "require_second_factor": True,
    }
    with pytest.raises(AppError, match="CL-1607"):
        organisation_update(actor=membership.user, organisation=membership.organisation, **wanted)
    with_second_factor(membership.user)
    organisation_update(actor=membership.user, organisation=membership.organisation, **wanted)
    assert Organisation.objects.get(pk=membership.organisation_id).require_second_factor
