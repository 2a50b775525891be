"""The pages of workers: what a person sees and may do there."""

from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from webapp.audit.models import AuditEntry
from webapp.fleet.checklist import is_finished, steps_of
from webapp.fleet.enrolment import enrolment_token_create, worker_enrol
from webapp.fleet.facts import facts_of
from webapp.fleet.models import EnrolmentToken, Worker, WorkerState
from webapp.fleet.tests.factories import FACTS, make_certificate, make_worker
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import OrganisationFactory, member
from workers.contracts import EnrolRequest, PolicySummary

pytestmark = pytest.mark.django_db


@pytest.fixture
def organisation():
    return OrganisationFactory()


@pytest.fixture
def admin(organisation, client):
    user = member(organisation)
    client.force_login(user)
    return user


def facts(worker: Worker) -> dict[str, str]:
    return {fact.name: fact.state for fact in facts_of(worker)}


def test_token_is_shown_once_and_stored_nowhere_in_plain(client, admin):
    page = client.post("/workers/new", {"name": "ward-3", "kind": "data", "labels": "gpu, gpu, b3"}).content.decode()
    secret = re.search(r"clw_[A-Za-z0-9_-]{40,}", page)[0]
    token = EnrolmentToken.objects.get()
    assert token.labels == ["gpu", "b3"]
    assert f"cutlayer worker join http://testserver --token {secret}" in page
    again = client.get(f"/workers/enrolments/{token.pk}").content.decode()
    assert secret not in again
    stored = [*EnrolmentToken.objects.values(), *AuditEntry.objects.values()]
    stored += [session.get_decoded() for session in Session.objects.all()]
    assert secret not in str(stored)


def test_only_the_command_for_a_compute_worker_says_that_it_is_one(client, admin):
    for kind, words in (("compute", "--kind compute"), ("both", ""), ("data", "")):
        page = client.post("/workers/new", {"name": f"w-{kind}", "kind": kind, "labels": ""}).content.decode()
        assert ("--kind" in page) == bool(words)
        assert words in page


def test_form_keeps_what_was_typed_when_the_name_is_taken(client, admin, organisation):
    make_worker(organisation, name="ward-3")
    answer = client.post("/workers/new", {"name": "ward-3", "kind": "data", "labels": "gpu"})
    assert answer.status_code == 409
    assert "CL-1416" in answer.content.decode()
    assert 'value="ward-3"' in answer.content.decode()


def test_checklist_turns_green_step_by_step(organisation, admin):
    token = enrolment_token_create(actor=admin, organisation=organisation, worker_name="ward-3", kind="data")
    assert {step.status for step in steps_of(token.row)} == {"pending"}
    request = EnrolRequest(
        token=token.secret, certificate_pem=make_certificate()[1], facts=FACTS, sent_at=timezone.now()
    )
    worker = worker_enrol(request=request)
    token.row.refresh_from_db()
    assert [step.status for step in steps_of(token.row)][:2] == ["ok", "pending"]
    worker.state, worker.confirmed_at, worker.last_beat_at = WorkerState.ACTIVE, timezone.now(), timezone.now()
    worker.connected_at, worker.checks = timezone.now(), [{"name": "Clock", "status": "ok"}]
    worker.save()
    row = EnrolmentToken.objects.get()
    assert {step.name: step.status for step in steps_of(row)}["Connection"] == "ok"
    assert is_finished(row) is (row.worker.version == FACTS.cutlayer)


def test_facts_are_told_apart(organisation):
    worker = make_worker(organisation, last_beat_at=timezone.now() - timezone.timedelta(minutes=5)).row
    told = facts(worker)
    assert (told["Enrolled"], told["Connection"], told["Doctor"]) == ("enrolled", "offline", "unknown")
    worker.last_beat_at = worker.connected_at = timezone.now()
    worker.checks, worker.version = [{"name": "Disk", "status": "failed"}], "0.0.1"
    told = facts(worker)
    assert (told["Connection"], told["Doctor"], told["Version"]) == ("online", "failed", "warning")
    worker.state = WorkerState.QUARANTINED
    assert facts(worker)["Connection"] == "offline"


def test_a_policy_that_its_site_cannot_read_is_not_shown_as_one_without_limits(client, admin, organisation):
    worker = make_worker(organisation).row
    worker.policy = PolicySummary().model_dump(mode="json")
    worker.save()
    assert "No limit" in client.get(f"/workers/{worker.pk}").content.decode()
    worker.checks = [{"name": "Site policy", "status": "failed", "detail": "line 3", "code": "CL-1422"}]
    worker.save()
    page = client.get(f"/workers/{worker.pk}").content.decode()
    assert "No limit" not in page
    assert "the worker refuses every run" in page


def test_the_activity_of_a_worker_is_in_words(client, admin, organisation):
    worker = make_worker(organisation, state=WorkerState.PENDING).row
    client.post(f"/workers/{worker.pk}/confirm", {"fingerprint": worker.fingerprint})
    page = client.get(f"/workers/{worker.pk}").content.decode()
    assert "Worker confirmed" in page
    assert "worker.confirmed" not in page


def test_a_worker_that_was_just_let_in_again_is_not_said_to_be_stopped(organisation):
    worker = make_worker(organisation, last_beat_at=timezone.now() - timezone.timedelta(minutes=5)).row
    [connection] = [fact for fact in facts_of(worker) if fact.name == "Connection"]
    assert connection.remedy.startswith("A running worker reconnects automatically.")


def test_confirmation_needs_the_fingerprint_that_was_compared(client, admin, organisation):
    worker = make_worker(organisation, state=WorkerState.PENDING).row
    client.post(f"/workers/{worker.pk}/confirm", {"fingerprint": "0" * 64})
    assert Worker.objects.get(pk=worker.pk).state == WorkerState.PENDING
    client.post(f"/workers/{worker.pk}/confirm", {"fingerprint": worker.fingerprint})
    row = Worker.objects.get(pk=worker.pk)
    assert (row.state, row.confirmed_by) == (WorkerState.ACTIVE, admin)


def test_revocation_needs_the_typed_name(client, admin, organisation):
    worker = make_worker(organisation, name="ward-3").row
    client.post(f"/workers/{worker.pk}/revoke", {"typed": "ward"})
    assert Worker.objects.get(pk=worker.pk).state == WorkerState.ACTIVE
    client.post(f"/workers/{worker.pk}/revoke", {"typed": "ward-3"})
    assert Worker.objects.get(pk=worker.pk).state == WorkerState.REVOKED


def test_viewer_sees_why_a_control_is_disabled(client, organisation):
    client.force_login(member(organisation, Role.VIEWER))
    worker = make_worker(organisation).row
    page = client.get(f"/workers/{worker.pk}").content.decode()
    assert "need the role" in page
    assert f"/workers/{worker.pk}/revoke" not in page


def test_names_are_shown_as_text(client, admin, organisation):
    worker = make_worker(organisation, labels=["<script>alert(1)</script>"]).row
    worker.facts = {"platform": "<img src=x onerror=alert(1)>", "gpus": [{"name": "<b>GPU</b>"}]}
    worker.save()
    for path in ("/org/workers", f"/workers/{worker.pk}"):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<b>GPU" not in page
