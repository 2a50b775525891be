"""Invitations: sent, read without an account, answered once, by whom they are for."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.orgs.invitations import (
    invitation_resend,
    invite_partner,
    invite_person,
)
from webapp.orgs.models import Invitation, Role
from webapp.orgs.services import organisation_create
from webapp.orgs.tests.factories import (
    MembershipFactory,
    OrganisationFactory,
    UserFactory,
    member,
)
from webapp.orgs.tests.invited import accept_as, declined, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_throttle():
    cache.clear()


def test_a_colleague_is_invited_by_mail_and_by_a_link_that_is_shown_once(
    admin, organisation, django_capture_on_commit_callbacks
):
    client = signed_in(admin)
    with django_capture_on_commit_callbacks(execute=True):
        page = client.post("/org/invitations/new", {"email": "Bob@Example.org", "role": "engineer", "message": "Hi"})
    link = re.search(r"http\S+/invite/(cli_[\w-]+)", page.content.decode())
    invitation = Invitation.objects.get()
    assert invitation.email == "bob@example.org"
    assert invitation.mailed_at is not None
    assert mail.outbox[0].to == ["bob@example.org"]
    assert link[0] in mail.outbox[0].body
    assert "Hi" in mail.outbox[0].body
    assert link[1] not in client.get("/org/invitations").content.decode()
    assert link[1] not in str(list(Invitation.objects.values())) + str(list(AuditEntry.objects.values()))


def test_the_page_reads_without_an_account_and_says_what_leaves_the_site(admin, project):
    _, token = invite_partner(actor=admin, project=project, email="g@example.org", party_kind="data", message="Join")
    page = Client().get(f"/invite/{token}", follow=True)
    text = page.content.decode()
    assert page.status_code == 200
    for part in ("Clinic A", "Letters", "Shorter letters", "Join", "Ada", "can be inverted", "never", "g@example.org"):
        assert part in text
    assert Invitation.objects.get().opened_at is not None


def test_the_link_stores_no_secret_in_the_session(admin, project):
    _, token = invite_partner(actor=admin, project=project, email="g@example.org", party_kind="data")
    client = Client()
    client.get(f"/invite/{token}")
    assert token not in str(dict(client.session))


def test_declining_needs_no_account_and_keeps_the_reason(admin, project):
    _, token = invite_partner(actor=admin, project=project, email="g@example.org", party_kind="data")
    assert declined(token, {"reason": "No lawful basis"}).status_code == 200
    invitation = Invitation.objects.get()
    assert (invitation.state, invitation.decline_reason) == ("declined", "No lawful basis")
    assert "No lawful basis" in signed_in(admin).get("/org/invitations").content.decode()


def test_sending_again_kills_the_old_link(admin, organisation):
    old, old_token = invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    new, new_token = invitation_resend(actor=admin, invitation=old)
    old.refresh_from_db()
    assert (old.state, new.state) == ("superseded", "pending")
    assert Client().get(f"/invite/{old_token}", follow=True).status_code == 410
    assert Client().get(f"/invite/{new_token}", follow=True).status_code == 200


def test_one_open_invitation_a_person_and_target(admin, organisation):
    for _ in range(2):
        invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    assert sorted(Invitation.objects.values_list("state", flat=True)) == ["pending", "superseded"]


def test_a_revoked_link_stops_working(admin, organisation):
    invitation, token = invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    signed_in(admin).post(f"/org/invitations/{invitation.pk}/revoke")
    assert Client().get(f"/invite/{token}", follow=True).status_code == 410
    user = UserFactory(email="bob@example.org")
    assert accept_as(user, token).status_code == 403


def test_an_invitation_expires_after_seven_days(admin, organisation):
    invitation, token = invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    assert timedelta(days=6, hours=23) < invitation.expires_at - timezone.now() <= timedelta(days=7)
    Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now())
    page = Client().get(f"/invite/{token}", follow=True)
    assert page.status_code == 410
    assert "CL-1602" in page.content.decode()
    assert "Expired" in signed_in(admin).get("/org/invitations?state=expired").content.decode()


def test_known_and_unknown_addresses_get_the_same_answer(admin, organisation):
    UserFactory(email="known@example.org")
    client = signed_in(admin)

    def answer(email: str) -> str:
        page = client.post("/org/invitations/new", {"email": email, "role": "viewer", "message": ""})
        assert page.status_code == 200
        text = re.sub(
            r"cli_[\w-]+|datetime=\S+|\d\d:\d\d(:\d\d)?|value=\"\w{64}\"|csrf\S+|X-CSRF\S+ \S+",
            "",
            page.content.decode(),
        )
        return text.replace(email, "EMAIL")

    strip = re.compile(r"cmd-\w+|name=\"csrfmiddlewaretoken\" value=\"\w+\"")
    assert strip.sub("", answer("known@example.org")) == strip.sub("", answer("nobody@example.org"))


def test_guessing_links_is_throttled(admin, organisation):
    _, token = invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    client = Client()
    answers = [client.get(f"/invite/cli_guess{n}").status_code for n in range(12)]
    assert answers == [404] * 10 + [429] * 2
    assert client.get(f"/invite/{token}", follow=True).status_code == 200  # the right link of that address still opens


def test_an_organisation_cannot_send_invitations_without_end(admin, organisation, monkeypatch):
    monkeypatch.setattr("webapp.orgs.invitations.MAX_PER_HOUR", 3)
    for n in range(3):
        invite_person(actor=admin, organisation=organisation, email=f"p{n}@example.org", role="viewer")
    with pytest.raises(AppError, match="CL-1603"):
        invite_person(actor=admin, organisation=organisation, email="p9@example.org", role="viewer")


def test_a_name_with_a_line_break_makes_no_second_mail_header(admin, django_capture_on_commit_callbacks):
    organisation = OrganisationFactory(name="Evil\nBcc: victim@example.org", slug="evil")
    MembershipFactory(user=admin, organisation=organisation)
    with django_capture_on_commit_callbacks(execute=True):
        invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    assert "\n" not in mail.outbox[0].subject
    assert mail.outbox[0].recipients() == ["bob@example.org"]


def test_a_mail_server_that_is_away_loses_no_invitation(
    admin, organisation, monkeypatch, django_capture_on_commit_callbacks
):
    def refuse(*args, **kwargs):
        raise ConnectionRefusedError

    monkeypatch.setattr("webapp.orgs.mail.send_mail", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        page = signed_in(admin).post("/org/invitations/new", {"email": "b@example.org", "role": "viewer"})
    assert page.status_code == 200
    assert "/invite/cli_" in page.content.decode()
    assert Invitation.objects.get().mailed_at is None


def test_the_id_opens_an_invitation_only_for_whom_it_addresses(admin, organisation):
    user = UserFactory()
    invitation, _ = invite_person(actor=admin, organisation=organisation, email=user.email, role="viewer")
    assert signed_in(user).get(f"/invite/{invitation.pk}").status_code == 200
    assert signed_in(UserFactory()).get(f"/invite/{invitation.pk}").status_code == 404
    assert Client().get(f"/invite/{invitation.pk}").status_code == 404


def test_sending_again_after_a_refusal_keeps_the_refusal_in_the_list(admin, organisation):
    invitation, token = invite_person(actor=admin, organisation=organisation, email="bob@example.org", role="viewer")
    declined(token, {"reason": "Not now"})
    invitation_resend(actor=admin, invitation=invitation)
    assert sorted(Invitation.objects.values_list("state", flat=True)) == ["declined", "pending"]


def test_the_own_people_are_not_invited_as_partners_nor_once_more_as_colleagues(admin, organisation, project):
    colleague = member(organisation, Role.VIEWER)
    colleague.emailaddress_set.create(email="second@example.org", verified=True)
    for email in (admin.email, colleague.email.upper(), "second@example.org"):
        with pytest.raises(AppError, match="CL-1612"):
            invite_partner(actor=admin, project=project, email=email, party_kind="data")
        with pytest.raises(AppError, match="CL-1612"):
            invite_person(actor=admin, organisation=organisation, email=email, role="viewer")
    page = signed_in(admin).post(f"/projects/{project.pk}/invite", {"email": admin.email, "party_kind": "data"})
    assert page.status_code == 409
    assert "CL-1612" in page.content.decode()
    assert not Invitation.objects.exists()


def test_the_inbox_leads_to_an_invitation(admin, project):
    partner = MembershipFactory()
    invitation, _ = invite_partner(actor=admin, project=project, email=partner.user.email, party_kind="data")
    client = signed_in(partner.user)
    assert f'href="/invite/{invitation.pk}"' in client.get("/inbox").content.decode()
    assert client.get(f"/invite/{invitation.pk}").status_code == 200


def test_no_address_after_the_first_and_no_log_line_holds_the_token(admin, project, caplog):
    partner = MembershipFactory()
    _, token = invite_partner(actor=admin, project=project, email=partner.user.email, party_kind="data")
    caplog.set_level("DEBUG")
    client = Client(enforce_csrf_checks=True)
    client.force_login(partner.user)
    page = client.get(f"/invite/{token}", follow=True)
    assert token not in page.content.decode() + page.redirect_chain[-1][0]
    for action in ("accept", "decline"):
        assert client.post(f"/invite/{token}/{action}").status_code == 403  # no CSRF token: Django logs the path
    unchecked = Client()
    unchecked.force_login(partner.user)
    assert unchecked.post(f"/invite/{token}/accept").status_code == 302
    assert unchecked.post(f"/invite/{token}/nowhere").status_code == 404
    assert "/invite/cli_…" in caplog.text
    assert token not in caplog.text


def test_a_person_is_no_mail_relay_however_many_organisations_they_make(settings):
    settings.INVITATIONS_PER_DAY = 5
    person = UserFactory()
    organisations = [organisation_create(actor=person, name=f"Relay {n}", kind="data") for n in range(3)]
    for number in range(5):
        invite_person(
            actor=person, organisation=organisations[number % 3], email=f"p{number}@example.org", role="viewer"
        )
    for organisation in organisations:
        with pytest.raises(AppError) as refused:
            invite_person(actor=person, organisation=organisation, email="more@example.org", role="viewer")
        assert refused.value.code == "CL-1603"
        assert 23 * 3600 < refused.value.details["retry_after"] <= 24 * 3600
    colleague = member(organisations[0])
    invite_person(actor=colleague, organisation=organisations[0], email="more@example.org", role="viewer")
    Invitation.objects.filter(created_by=person).update(created_at=timezone.now() - timedelta(hours=25))
    invite_person(actor=person, organisation=organisations[0], email="again@example.org", role="viewer")
