"""Rows that left a site are marked at the hub, and train nothing until they are back."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.datasets import held
from webapp.datasets.held import NAMED, TOLD_CHANGES
from webapp.datasets.models import DatasetVersion
from webapp.datasets.tests.metadata import metadata
from webapp.fleet import presence
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.presence import hello_record, message_take
from webapp.fleet.tests.factories import FACTS, make_worker
from webapp.orgs.tests.factories import OrganisationFactory, ProjectFactory, member
from webapp.runs.configure.options import party_options
from webapp.runs.models import RunState
from webapp.runs.services import run_start, run_submit
from webapp.runs.tests import factories as make
from workers.contracts import PROTOCOL_VERSION, Beat, HeldVersion, Hello

pytestmark = pytest.mark.django_db
GONE = "Gone from the worker"


def tell(worker, *digests, told=True, protocol=PROTOCOL_VERSION, versions=None):
    known = sorted(digests) if told else None
    named = None if versions is None else [HeldVersion(name=n, version=v, digest=d) for n, v, d in versions]
    hello = Hello(facts=FACTS, held=known, held_versions=named, protocol=protocol)
    return hello_record(worker=worker, hello=hello)


def test_a_version_whose_rows_are_gone_is_marked_and_unmarked_when_they_are_back(client):
    worker = make_worker(OrganisationFactory())
    ProjectFactory(owner=worker.row.organisation)
    worker.post("datasets", metadata())
    version = DatasetVersion.objects.get()
    client.force_login(member(worker.row.organisation))
    tell(worker.row)
    version.refresh_from_db()
    assert version.missing_at is not None
    for path in ("/datasets", f"/datasets/{version.dataset_id}"):
        assert GONE in client.get(path, follow=True).content.decode(), path
    tell(worker.row, version.digest)
    version.refresh_from_db()
    assert version.missing_at is None
    assert GONE not in client.get(f"/datasets/{version.dataset_id}", follow=True).content.decode()
    assert list(AuditEntry.objects.filter(object_id=version.dataset_id).values_list("action", flat=True))[-2:] == [
        "dataset.rows_gone",
        "dataset.rows_back",
    ]


def test_the_same_rows_under_another_name_do_not_bring_the_first_dataset_back():
    worker = make_worker(OrganisationFactory())
    worker.post("datasets", metadata())
    first = DatasetVersion.objects.get()
    tell(worker.row, versions=[])
    again = metadata(name="the same again")
    worker.post("datasets", again)
    tell(worker.row, first.digest, versions=[("the same again", 1, first.digest)])
    missing = DatasetVersion.objects.exclude(missing_at=None).values_list("dataset__name", flat=True)
    assert list(missing) == [first.dataset.name]
    tell(worker.row, first.digest, versions=[(first.dataset.name, 1, first.digest), ("the same again", 1, "ab" * 32)])
    missing = DatasetVersion.objects.exclude(missing_at=None).values_list("dataset__name", flat=True)
    assert list(missing) == ["the same again"], "other rows under its name and number are not its rows"


def test_a_worker_that_does_not_tell_or_another_one_changes_nothing():
    worker, other = make_worker(OrganisationFactory()), make_worker(OrganisationFactory())
    worker.post("datasets", metadata())
    tell(worker.row, told=False)
    tell(other.row)
    assert DatasetVersion.objects.get().missing_at is None


def test_a_worker_that_stops_telling_what_it_holds_leaves_no_mark_for_ever():
    worker = make_worker(OrganisationFactory())
    worker.post("datasets", metadata())
    tell(worker.row)
    tell(worker.row, told=False, protocol=2)
    assert DatasetVersion.objects.get().missing_at is not None, "a hello of version 2 has no room for it"
    tell(worker.row, told=False)
    assert DatasetVersion.objects.get().missing_at is None
    assert AuditEntry.objects.latest("sequence").action == "dataset.rows_untold"


def test_rows_that_come_and_go_for_ever_fill_no_log():
    worker = make_worker(OrganisationFactory())
    worker.post("datasets", metadata())
    version = DatasetVersion.objects.get()
    for _ in range(TOLD_CHANGES):
        tell(worker.row)
        tell(worker.row, version.digest)
    entries = AuditEntry.objects.filter(action__startswith="dataset.rows_")
    assert entries.count() == TOLD_CHANGES
    tell(worker.row)
    version.refresh_from_db()
    assert version.missing_at is not None, "the mark is kept all the same"
    assert entries.count() == TOLD_CHANGES


@pytest.mark.parametrize("versions", [NAMED, 10 * NAMED])
def test_a_hello_costs_no_more_where_a_worker_has_registered_many_versions(versions, monkeypatch):
    """Everybody who writes waits for it, so two thousand versions must not be two thousand writes."""
    worker, rung = make_worker(OrganisationFactory()), []
    monkeypatch.setattr(held, "notify_org", lambda *told: rung.append(told))
    worker.post("datasets", metadata())
    first = DatasetVersion.objects.get()
    for number in range(2, versions + 1):
        DatasetVersion.objects.create(dataset=first.dataset, number=number, digest=f"{number:064x}", metadata={})
    before = AuditEntry.objects.count()
    for missing, digests in ((versions, []), (versions - 1, [first.digest]), (0, None)):
        rung.clear()
        with CaptureQueriesContext(connection) as queries:
            tell(worker.row, *(digests or []), told=digests is not None)
        assert DatasetVersion.objects.exclude(missing_at=None).count() == missing
        assert len(queries) < 6 * NAMED
        assert len(rung) <= 1, "one bell rings for all"
    assert AuditEntry.objects.count() - before <= 3 * (NAMED + 1)
    told = AuditEntry.objects.filter(action="dataset.rows_gone")
    assert sum(entry.details.get("more_versions", 1) for entry in told) == versions


def test_the_hello_of_a_worker_that_was_just_revoked_marks_and_announces_nothing(monkeypatch):
    worker, rung = make_worker(OrganisationFactory()), []
    worker.post("datasets", metadata())
    monkeypatch.setattr(presence, "notify_org", lambda *told: rung.append(told))
    Worker.objects.filter(pk=worker.row.pk).update(state=WorkerState.REVOKED)
    assert not tell(worker.row)
    assert DatasetVersion.objects.get().missing_at is None
    assert rung == []


@pytest.mark.parametrize("message", [Hello(facts=FACTS, held=[]), Beat()])
def test_a_worker_that_is_revoked_while_its_message_is_taken_is_closed(monkeypatch, message):
    worker = make_worker(OrganisationFactory())
    worker.post("datasets", metadata())
    Worker.objects.filter(pk=worker.row.pk).update(state=WorkerState.REVOKED)
    monkeypatch.setattr(presence, "_presence_row", lambda worker: worker)  # read just before the revocation
    for connected_at in (None, timezone.now()):
        worker.row.connected_at = connected_at
        assert message_take(worker=worker.row, connection=connected_at, message=message) is None
    assert DatasetVersion.objects.get().missing_at is None


def test_a_connection_that_may_not_open_again_has_its_message_dropped_at_once(monkeypatch):
    worker, taken = make_worker(OrganisationFactory()), []
    worker.row.connected_at = None
    Worker.objects.filter(pk=worker.row.pk).update(state=WorkerState.REVOKED)
    monkeypatch.setattr(presence, "_presence_row", lambda worker: worker)  # read just before the revocation
    monkeypatch.setattr(presence.lifecycle, "participant_beat", lambda **told: taken.append(told))
    beat = Beat(lanes=[{"run_id": "run_x", "participant_id": "prt_x", "attempt": 1, "phase": "training", "step": 3}])
    assert message_take(worker=worker.row, connection=timezone.now(), message=beat) is None
    assert taken == []


def submitted(w):
    run_submit(actor=w.engineer, run=w.run)


def started(w):
    w.run.start_when_approved = False
    w.run.save()
    make.submit(w)
    make.approve(w)
    tell(w.workers[1])
    run_start(actor=w.engineer, run=w.fresh())


@pytest.mark.parametrize(("act", "state"), [(submitted, RunState.DRAFT), (started, RunState.APPROVED)])
def test_a_run_that_names_rows_that_are_gone_is_refused_by_a_code(act, state):
    w = make.world()
    if act is submitted:
        tell(w.workers[1])
    with pytest.raises(AppError) as caught:
        act(w)
    assert caught.value.code == "CL-1223"
    assert w.versions[1].dataset.name in caught.value.message
    assert "Add the file again" in caught.value.remedy
    assert w.fresh().state == state


def test_rows_that_are_gone_are_not_offered_to_a_new_run():
    w = make.world()
    before = [d.version for o in party_options(w.project, None).data for d in o.datasets]
    assert w.versions[1] in before
    tell(w.workers[1])
    after = [d.version for o in party_options(w.project, None).data for d in o.datasets]
    assert w.versions[1] not in after
