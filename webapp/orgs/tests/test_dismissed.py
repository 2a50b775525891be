"""What a person has prepared for an organisation ends with the right to prepare it."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.core.cache import cache
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.fleet.enrolment import enrolment_token_create, worker_enrol
from webapp.fleet.models import EnrolmentToken, Worker
from webapp.fleet.tests.factories import FACTS, make_certificate
from webapp.orgs.invitations import invitation_accept_partner, invitation_accept_person, invite_partner, invite_person
from webapp.orgs.models import Invitation, InvitationState, Membership, Organisation, Role
from webapp.orgs.services import membership_deactivate, membership_role_change
from webapp.orgs.tests.factories import OrganisationFactory, ParticipationFactory, ProjectFactory, UserFactory, member
from webapp.projects.services import participation_end
from workers.contracts import EnrolRequest

pytestmark = pytest.mark.django_db
HOME = "mallory.home@example.net"


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


@pytest.fixture
def organisation():
    return OrganisationFactory()


@pytest.fixture
def boss(organisation):
    return member(organisation)


@pytest.fixture
def mallory(organisation, boss):
    return member(organisation)


def of(user) -> Membership:
    return Membership.objects.get(user=user)


def dismissed(boss, user) -> None:
    membership_deactivate(actor=boss, membership=of(user))


def demoted(boss, user) -> None:
    membership_role_change(actor=boss, membership=of(user), role=Role.VIEWER)


def enrol(secret: str) -> Worker:
    certificate = make_certificate()[1]
    return worker_enrol(
        request=EnrolRequest(token=secret, certificate_pem=certificate, facts=FACTS, sent_at=timezone.now())
    )


@pytest.mark.parametrize("ends", [dismissed, demoted], ids=["dismissed", "demoted"])
def test_open_invitations_and_enrolment_tokens_are_withdrawn(organisation, boss, mallory, ends):
    person, _ = invite_person(actor=mallory, organisation=organisation, email=HOME, role="admin")
    project = ProjectFactory(owner=organisation, created_by=boss)
    partner, _ = invite_partner(actor=mallory, project=project, email=HOME, party_kind="data")
    others, _ = invite_person(actor=boss, organisation=organisation, email="other@example.net", role="viewer")
    token = enrolment_token_create(actor=mallory, organisation=organisation, worker_name="w", kind="data")
    ends(boss, mallory)
    states = dict(Invitation.objects.values_list("pk", "state"))
    assert states == {person.pk: "revoked", partner.pk: "revoked", others.pk: "pending"}
    with pytest.raises(AppError, match="CL-1602"):
        invitation_accept_person(actor=UserFactory(email=HOME), invitation=person)
    with pytest.raises(AppError, match="CL-1405"):
        enrol(token.secret)
    assert not Worker.objects.exists()
    recorded = AuditEntry.objects.filter(actor_id=boss.pk, action__in=["invitation.revoked", "worker.token_revoked"])
    assert {entry.object_id for entry in recorded} == {person.pk, partner.pk, token.row.pk}


def test_a_new_role_that_may_still_enrol_workers_keeps_its_tokens(organisation, boss, mallory):
    token = enrolment_token_create(actor=mallory, organisation=organisation, worker_name="w", kind="data")
    membership_role_change(actor=boss, membership=of(mallory), role=Role.OPERATOR)
    assert enrol(token.secret).organisation == organisation


def test_whoever_accepts_is_asked_for_nothing_that_the_sender_may_no_longer_offer(organisation, boss, mallory):
    """However the sender's rights ended: an account may be closed without any of the organisation's services."""
    person, _ = invite_person(actor=mallory, organisation=organisation, email=HOME, role="admin")
    project = ProjectFactory(owner=organisation, created_by=boss)
    partner, _ = invite_partner(actor=mallory, project=project, email=HOME, party_kind="data")
    token = enrolment_token_create(actor=mallory, organisation=organisation, worker_name="w", kind="data")
    home = UserFactory(email=HOME)
    theirs = Organisation.objects.get(pk=member(OrganisationFactory()).memberships.get().organisation_id)
    Membership.objects.create(user=home, organisation=theirs, role=Role.ADMIN)
    mallory.is_active = False
    mallory.save()
    with pytest.raises(AppError, match="CL-1602"):
        invitation_accept_person(actor=home, invitation=person)
    with pytest.raises(AppError, match="CL-1602"):
        invitation_accept_partner(actor=home, invitation=partner, organisation=theirs)
    with pytest.raises(AppError, match="CL-1405"):
        enrol(token.secret)
    assert not Membership.objects.filter(user=home, organisation=organisation).exists()
    assert not EnrolmentToken.objects.exclude(used_at=None).exists()


def test_an_invitation_of_before_does_not_bring_a_deactivated_member_back(organisation, boss):
    viewer = member(organisation, Role.VIEWER)
    old, _ = invite_person(actor=boss, organisation=organisation, email="other@example.org", role="admin")
    dismissed(boss, viewer)
    EmailAddress.objects.create(user=viewer, email="other@example.org", verified=True)
    with pytest.raises(AppError, match="CL-1602"):
        invitation_accept_person(actor=viewer, invitation=old)
    assert not of(viewer).is_active
    old.refresh_from_db()
    assert old.state == InvitationState.PENDING
    new, _ = invite_person(actor=boss, organisation=organisation, email=viewer.email, role="engineer")
    assert invitation_accept_person(actor=viewer, invitation=new).is_active


@pytest.mark.parametrize("removed", [False, True], ids=["left", "removed"])
def test_a_party_that_left_comes_back_by_a_new_invitation_alone(organisation, boss, removed: bool):
    project = ProjectFactory(owner=organisation, created_by=boss)
    party = ParticipationFactory(project=project)
    theirs = member(party.organisation)
    stranger, _ = invite_partner(actor=boss, project=project, email="else@example.org", party_kind="data")
    old, _ = invite_partner(actor=boss, project=project, email=theirs.email, party_kind="compute")
    later, _ = invite_partner(actor=boss, project=project, email="other@example.org", party_kind="compute")
    participation_end(actor=boss if removed else theirs, participation=party)
    states = dict(Invitation.objects.values_list("pk", "state"))
    assert states == {old.pk: "revoked", stranger.pk: "pending", later.pk: "pending"}
    assert AuditEntry.objects.get(action="invitation.revoked").details["left"] == party.organisation.name
    EmailAddress.objects.create(user=theirs, email=later.email, verified=True)  # an address that nobody knew as theirs
    for invitation in (old, later):
        with pytest.raises(AppError, match="CL-1602"):
            invitation_accept_partner(actor=theirs, invitation=invitation, organisation=party.organisation)
    party.refresh_from_db()
    assert not party.is_active
    new, _ = invite_partner(actor=boss, project=project, email=theirs.email, party_kind="data")
    assert invitation_accept_partner(actor=theirs, invitation=new, organisation=party.organisation).is_active
