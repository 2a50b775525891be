"""Checks of an adapter are jobs: requested when it is joined, begun by a phase, finished by a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.db import connection
from django.http import Http404
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from webapp.adapters.models import Adapter, AdapterState
from webapp.adapters.tests.factories import finished, report
from webapp.jobs.models import Job
from webapp.jobs.services import job_request
from webapp.runs.finishing.handing_out import adapter_for_worker
from webapp.runs.finishing.packaging import adapter_package
from webapp.runs.kinds.checks import AWAY, checks_open
from webapp.runs.kinds.registry import BEGINNINGS, KINDS
from webapp.runs.lifecycle import assignments_for
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import RunState
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, record
from workers.contracts import JOBS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hub(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    make.hub_watched()


def checks(w: make.World, place: int) -> list[Job]:
    """The checks that were requested of the part at `place`."""
    return list(w.part(place).jobs.exclude(kind="train"))


def says_that_it_loads(w: make.World, place: int, seq: int) -> None:
    part = w.part(place)
    records_store(participant=part, batch=batch(part, record(seq, "phase", phase="verifying")))


def test_hub_has_every_kind_of_the_contracts_and_no_other() -> None:
    assert set(KINDS) == set(JOBS)
    assert all(name == kind.name for name, kind in KINDS.items())


def test_half_is_requested_with_its_part() -> None:
    w = make.world()
    assert [[job.kind for job in w.part(place).jobs.all()] for place in range(3)] == [["train"]] * 3


def test_checks_are_requested_of_the_parties_with_rows_when_the_adapter_is_joined() -> None:
    w, adapter = finished()
    asked = [[(job.kind, job.subject, job.outcome) for job in checks(w, place)] for place in range(3)]
    assert asked == [[("evaluate", adapter.id, "")], [("evaluate", adapter.id, "")], []]


def test_check_begins_with_its_phase_and_ends_with_its_report() -> None:
    w, adapter = finished()
    [job] = checks(w, 0)
    says_that_it_loads(w, 0, 1)
    [attempt] = job.attempts.all()
    assert (attempt.number, attempt.outcome, attempt.ended_at) == (1, "", None)
    assert attempt.started_at is not None
    report(w, 0, adapter)
    [attempt] = job.attempts.all()
    assert (checks(w, 0)[0].outcome, attempt.outcome) == ("done", "done")
    assert attempt.ended_at is not None
    assert checks(w, 1)[0].outcome == ""


def test_check_that_is_made_again_is_another_attempt_and_the_lost_one_is_over() -> None:
    w, adapter = finished()
    says_that_it_loads(w, 0, 1)
    says_that_it_loads(w, 0, 2)
    report(w, 0, adapter, status="failed")
    [job] = checks(w, 0)
    assert job.outcome == "failed"
    assert [(one.number, one.outcome) for one in job.attempts.all()] == [(1, ""), (2, "failed")]
    assert [one.error and one.error["code"] for one in job.attempts.all()] == [None, "CL-1703"]
    assert all(one.ended_at for one in job.attempts.all())


def test_batch_that_tells_a_phase_many_times_begins_one_attempt() -> None:
    w, _ = finished()
    part, [job], costs = w.part(0), checks(w, 0), []
    for first, last in ((1, 1), (2, 2), (3, 202)):
        told = [record(seq, "phase", phase="verifying") for seq in range(first, last + 1)]
        with CaptureQueriesContext(connection) as queries:
            records_store(participant=part, batch=batch(part, *told))
        costs.append(len([one for one in queries if "jobs_" in one["sql"]]))
    assert costs[1] > 0
    assert costs[2] == costs[1]
    assert job.attempts.count() == 3


def test_check_begins_with_its_phase_though_the_next_one_comes_along() -> None:
    w, _ = finished()
    part, [job] = w.part(0), checks(w, 0)
    told = [record(1, "phase", phase="verifying"), record(2, "phase", phase="evaluating")]
    records_store(participant=part, batch=batch(part, *told))
    assert job.attempts.count() == 1
    assert w.part(0).phase == "evaluating"


def test_worker_that_begins_a_check_for_ever_fills_no_table() -> None:
    w, adapter = finished()
    for seq in range(1, BEGINNINGS + 4):
        says_that_it_loads(w, 0, seq)
    report(w, 0, adapter)
    *lost, last = checks(w, 0)[0].attempts.all()
    assert len(lost) + 1 == BEGINNINGS
    assert (last.outcome, checks(w, 0)[0].outcome) == ("done", "done")


def test_report_of_a_check_whose_phase_never_came_is_its_only_attempt() -> None:
    w, adapter = finished()
    report(w, 0, adapter)
    report(w, 0, adapter)
    [job] = checks(w, 0)
    assert [(one.number, one.started_at, one.outcome) for one in job.attempts.all()] == [(1, None, "done")]


def test_compute_worker_is_asked_where_no_party_with_rows_is_left_and_let_alone_when_one_is_back() -> None:
    w, adapter = finished()
    w.run.participants.filter(worker=w.workers[2]).update(receives_adapter=True)
    data = w.run.participants.filter(worker__in=w.workers[:2])
    data.update(phase="dropped", phase_since=timezone.now() - 2 * AWAY)
    sweep()
    [job] = checks(w, 2)
    assert (job.kind, job.subject) == ("verify", adapter.id)
    assert [one.kind for one in assignments_for(w.workers[2])] == ["verify"]
    data.update(phase="verifying", phase_since=timezone.now())
    assert assignments_for(w.workers[2]) == []
    with pytest.raises(Http404):
        adapter_for_worker(worker=w.workers[2], run_id=w.run.id, adapter_id=adapter.id, participant_id=w.part(2).id)
    assert [one.kind for one in assignments_for(w.workers[0])] == ["evaluate"]
    report(w, 0, adapter)
    report(w, 1, adapter)
    assert not checks_open(w.fresh()), "the compute worker's check is not waited for"


def test_run_is_not_ended_while_the_compute_worker_can_check_what_no_party_did() -> None:
    """The doorbell comes twice, or late, and no sweep was between it and the moment from which the parties are away."""
    w, adapter = finished()
    w.run.participants.filter(worker=w.workers[2]).update(receives_adapter=True)
    w.run.participants.filter(worker__in=w.workers[:2]).update(phase="dropped", phase_since=timezone.now() - 2 * AWAY)
    adapter_package(w.run.id)
    assert w.fresh().state == RunState.FINISHING
    assert [one.kind for one in assignments_for(w.workers[2])] == ["verify"]
    report(w, 2, adapter, evaluation=False)
    adapter_package(w.run.id)
    adapter.refresh_from_db()
    assert (w.fresh().state, adapter.state) == (RunState.DONE, AdapterState.READY)


def test_check_of_an_adapter_that_failed_is_not_waited_for() -> None:
    w, adapter = finished()
    assert checks_open(w.fresh())
    Adapter.objects.filter(pk=adapter.pk).update(state=AdapterState.FAILED)
    assert not checks_open(w.fresh())


def test_look_at_many_checks_that_are_not_to_be_made_now_costs_as_much_as_at_one() -> None:
    w, _ = finished()
    costs = []
    for count in (1, 10):
        for number in range(count):
            job_request(participant_id=w.part(2).id, kind="verify", subject=f"adp_{count}_{number}")
        with CaptureQueriesContext(connection) as queries:
            assert assignments_for(w.workers[2]) == []
        costs.append(len(queries))
    assert costs[0] == costs[1]


def test_run_is_asked_for_its_checks_once() -> None:
    finished()
    before = set(Job.objects.values_list("id", flat=True))
    sweep()
    assert set(Job.objects.values_list("id", flat=True)) == before
