"""What was withdrawn trains nothing: looked at when a run is submitted, when it starts, and when it is resumed."""

from __future__ import annotations

import pytest
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.datasets.models import DatasetVersion
from webapp.datasets.services import dataset_offer_withdraw, dataset_version_withdraw
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.services import worker_leave, worker_revoke
from webapp.orgs.models import Organisation
from webapp.orgs.tests.factories import member
from webapp.projects.models import Participation
from webapp.projects.services import participation_end
from webapp.runs.models import ApprovalState, Run, RunState
from webapp.runs.services import run_clone, run_resume, run_start, run_submit
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


def _withdraw_version(w):
    dataset_version_withdraw(actor=w.approvers[1], version=w.versions[1])


def _withdraw_offer(w):
    dataset_offer_withdraw(actor=w.approvers[1], dataset=w.versions[1].dataset, project=w.project)


def _leave_project(w):
    part = Participation.objects.get(project=w.project, organisation=w.organisations[1])
    participation_end(actor=member(w.organisations[1]), participation=part)


def _remove_compute(w):
    part = Participation.objects.get(project=w.project, organisation=w.organisations[2])
    participation_end(actor=member(w.organisations[0]), participation=part)


def _revoke_worker(w):
    worker_revoke(actor=member(w.organisations[1]), worker=w.workers[1])


def _worker_leaves(w):
    worker_leave(worker=w.workers[2])


TAKEN_BACK = [_withdraw_version, _withdraw_offer, _leave_project, _remove_compute, _revoke_worker, _worker_leaves]

# The same, as rows that changed behind the services' back: what a check must find by itself.
BEHIND = {
    "version": lambda w: DatasetVersion.objects.filter(pk=w.versions[1].pk).update(withdrawn_at=timezone.now()),
    "offer": lambda w: w.versions[1].dataset.projects.clear(),
    "archived dataset": lambda w: type(w.versions[1].dataset).objects.update(is_archived=True),
    "participation": lambda w: Participation.objects.filter(organisation=w.organisations[1]).update(is_active=False),
    "own participation": lambda w: Participation.objects.filter(organisation=w.organisations[0]).update(
        is_active=False
    ),
    "organisation": lambda w: Organisation.objects.filter(pk=w.organisations[2].pk).update(is_active=False),
    "revoked": lambda w: Worker.objects.filter(pk=w.workers[2].pk).update(state=WorkerState.REVOKED),
    "quarantine": lambda w: Worker.objects.filter(pk=w.workers[2].pk).update(state=WorkerState.QUARANTINED),
}


def approved(w):
    Run.objects.filter(pk=w.run.pk).update(start_when_approved=False)
    make.submit(w)
    make.approve(w)
    assert w.fresh().state == RunState.APPROVED
    return w.run


@pytest.mark.parametrize("take_back", TAKEN_BACK)
@pytest.mark.parametrize("state", [RunState.AWAITING, RunState.APPROVED])
def test_a_run_that_has_not_started_becomes_a_draft_again_and_says_why(take_back, state):
    w = make.world()
    if state == RunState.APPROVED:
        approved(w)
    else:
        make.submit(w)
        make.approve(w, 0)
    take_back(w)
    run = w.fresh()
    assert (run.state, run.contract_hash) == (RunState.DRAFT, "")
    assert set(run.approvals.values_list("state", flat=True)) == {ApprovalState.VOIDED}
    last = run.records.filter(kind="event", payload__name="run.draft").order_by("-seq").first()
    why = AuditEntry.objects.get(action="run.taken_back", object_id=run.pk).details["why"]
    assert why in last.payload["detail"]
    assert any(name in why for name in (w.organisations[1].name, w.organisations[2].name))
    with pytest.raises(AppError) as caught:
        run_submit(actor=w.engineer, run=run)
    assert caught.value.code == "CL-1006"


@pytest.mark.parametrize("take_back", TAKEN_BACK)
def test_a_clone_or_an_older_draft_with_what_was_taken_back_is_not_submitted(take_back):
    w = make.world()
    clone = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    take_back(w)
    later = run_clone(actor=w.engineer, run=w.run, organisation=w.organisations[0])
    for draft in (w.run, clone, later):
        with pytest.raises(AppError) as caught:
            run_submit(actor=w.engineer, run=draft)
        assert caught.value.code == "CL-1006"


@pytest.mark.parametrize("change", BEHIND.values(), ids=BEHIND.keys())
def test_an_approved_run_does_not_start_with_a_party_that_is_not_available(change):
    w = make.world()
    approved(w)
    change(w)
    with pytest.raises(AppError) as caught:
        run_start(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1006"
    assert w.fresh().state == RunState.APPROVED


@pytest.mark.parametrize("change", BEHIND.values(), ids=BEHIND.keys())
def test_a_draft_is_not_submitted_with_a_party_that_is_not_available(change):
    w = make.world()
    change(w)
    with pytest.raises(AppError) as caught:
        run_submit(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1006"


def test_a_run_that_would_start_by_itself_stays_approved_and_its_timeline_says_who_is_missing():
    w = make.world()
    make.submit(w)
    make.approve(w, 0, 1)
    BEHIND["quarantine"](w)
    make.approve(w, 2)
    run = w.fresh()
    assert (run.state, run.desired) == (RunState.APPROVED, "none")
    held = run.records.get(kind="event", payload__name="start.held")
    assert w.workers[2].name in held.payload["detail"]
    Worker.objects.filter(pk=w.workers[2].pk).update(state=WorkerState.ACTIVE)
    assert run_start(actor=w.engineer, run=run).state == RunState.STARTING


def test_a_paused_run_is_not_resumed_with_a_dataset_that_was_withdrawn():
    w = make.started()
    Run.objects.filter(pk=w.run.pk).update(state=RunState.PAUSED)
    _withdraw_version(w)
    assert w.fresh().state == RunState.PAUSED  # what runs is stopped by people, not by a withdrawal
    with pytest.raises(AppError) as caught:
        run_resume(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1006"


def test_an_organisation_that_left_a_project_clones_no_run_of_it():
    w = make.world()
    make.submit(w)
    Participation.objects.filter(organisation=w.organisations[1]).update(is_active=False)
    with pytest.raises(AppError) as caught:
        run_clone(actor=member(w.organisations[1]), run=w.run, organisation=w.organisations[1])
    assert caught.value.code == "CL-1006"


def test_other_runs_stay_as_they_are():
    w, other = make.world(), make.world(prefix="Other ")
    approved(w)
    make.submit(other)
    _withdraw_version(w)
    assert other.fresh().state == RunState.AWAITING


def test_an_organisation_with_an_underscore_in_its_name_can_take_part():
    w = make.world(prefix="Data_lab _")
    assert make.submit(w).state == "awaiting_approval"
    assert w.part(0).party.startswith("data-lab")
