"""A worker that was shown another log is kept, told once in the log, and shown to its auditors until it is accepted."""

from __future__ import annotations

import pytest
from django.test import Client

from webapp.audit.models import AuditEntry, ChainDispute
from webapp.audit.services import audit_record
from webapp.audit.witness import chain_head
from webapp.fleet.models import WorkerState
from webapp.fleet.tests.factories import make_worker
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import OrganisationFactory, member
from workers.contracts import ChainHead, ChainLoss, WitnessReport

pytestmark = pytest.mark.django_db
KEPT = ChainHead(epoch="", sequence=900, head="ab" * 32)
ACCEPTED = WitnessReport()
MARK = "A worker was shown a different log"


def lost(kept: ChainHead = KEPT) -> WitnessReport:
    return WitnessReport(loss=ChainLoss(kind="lost", kept=kept, shown=ChainHead(sequence=3, head="cd" * 32)))


def actions() -> list[str]:
    found = AuditEntry.objects.filter(action__startswith="worker.chain").order_by("sequence")
    return list(found.values_list("action", flat=True))


def page_of(organisation) -> str:
    client = Client()
    client.force_login(member(organisation, Role.AUDITOR))
    return client.get("/audit").content.decode()


@pytest.fixture
def worker():
    return make_worker(OrganisationFactory(), name="clinic-worker")


def test_a_report_is_kept_and_told_once(worker):
    for _ in range(3):
        assert worker.post("witness", lost()).status_code == 200
    assert actions() == ["worker.chain_disputed"]
    [entry] = AuditEntry.objects.filter(action="worker.chain_disputed")
    assert (entry.organisation_id, entry.object_id) == (worker.row.organisation_id, worker.row.id)
    assert entry.details == {"kind": "lost", "kept": 900, "kept_head": "ab" * 32, "shown": 3}


def test_the_organisations_auditor_sees_it_until_the_site_accepts(worker):
    assert MARK not in page_of(worker.row.organisation)
    worker.post("witness", lost())
    page = page_of(worker.row.organisation)
    assert MARK in page
    assert "clinic-worker" in page
    assert "no longer has that entry" in page
    worker.post("witness", ACCEPTED)
    assert MARK not in page_of(worker.row.organisation)
    worker.post("witness", ACCEPTED)
    assert actions() == ["worker.chain_disputed", "worker.chain_accepted"]


def test_the_page_says_whether_the_log_has_what_the_worker_was_shown(worker):
    audit_record(actor=None, action="hub.did")
    worker.post("witness", lost(chain_head()))
    assert "The log still has that entry, unchanged." in page_of(worker.row.organisation)


def test_another_organisation_learns_that_there_is_one_and_not_whose(worker):
    other = OrganisationFactory()
    assert MARK not in page_of(other)
    worker.post("witness", lost())
    page = page_of(other)
    assert "Another organisation's worker reports" in page
    assert "clinic-worker" not in page
    assert worker.row.id not in page


def test_a_further_finding_takes_the_place_of_the_last_and_a_new_one_opens_it_again(worker):
    worker.post("witness", lost())
    worker.post("witness", lost(ChainHead(sequence=901, head="ef" * 32)))
    worker.post("witness", ACCEPTED)
    worker.post("witness", lost())
    [dispute] = ChainDispute.objects.all()
    assert (dispute.kept_sequence, dispute.accepted_at) == (900, None)
    assert actions() == [*["worker.chain_disputed"] * 2, "worker.chain_accepted", "worker.chain_disputed"]


def test_a_worker_that_is_gone_leaves_no_mark_that_nobody_could_take_away(worker):
    worker.post("witness", lost())
    worker.row.state = WorkerState.REVOKED
    worker.row.save()
    assert MARK not in page_of(worker.row.organisation)


@pytest.mark.parametrize(
    "body",
    [
        {"loss": {"kind": "other", "kept": {}, "shown": {}}},
        {"loss": {"kind": "lost", "kept": {"sequence": -1}, "shown": {}}},
        {"loss": {"kind": "lost", "kept": {"sequence": 2**60}, "shown": {}}},
        {"loss": {"kind": "lost", "kept": {"head": "x"}, "shown": {}}},
        {"loss": {"kind": "lost", "kept": {"epoch": "e" * 200}, "shown": {}}},
        {"row": "a text"},
    ],
)
def test_a_report_of_another_form_is_refused(worker, body):
    answer = worker.post("witness", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")
    assert actions() == []
