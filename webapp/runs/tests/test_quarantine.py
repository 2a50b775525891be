"""A worker in quarantine holds its live runs; releasing it lets them go on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from splitcore.errors import AppError
from webapp.datasets.models import DatasetVersion
from webapp.fleet.models import Worker, WorkerState
from webapp.fleet.services import worker_quarantine, worker_release
from webapp.orgs.tests.factories import member
from webapp.runs.models import DesiredState, Participant, Run, RunState
from webapp.runs.services import run_pause, run_resume, run_stop
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def w():
    world = make.started()
    Run.objects.filter(pk=world.run.pk).update(state=RunState.TRAINING)
    return world


def quarantine(w, place: int = 2) -> None:
    worker_quarantine(actor=member(w.organisations[place]), worker=w.workers[place])


def release(w, place: int = 2) -> None:
    worker_release(actor=member(w.organisations[place]), worker=w.workers[place])


@pytest.mark.parametrize("state", [RunState.STARTING, RunState.TRAINING, RunState.RECOVERING])
def test_a_live_run_is_paused_at_once_and_says_who_can_release_the_worker(w, state):
    Run.objects.filter(pk=w.run.pk).update(state=state)
    quarantine(w)
    run = w.fresh()
    assert (run.state, run.desired) == (RunState.PAUSED, DesiredState.PAUSED)
    assert run.failure["code"] == "CL-1512"
    assert w.workers[2].name in run.failure["message"]
    assert w.organisations[2].name in run.failure["remedy"]


def test_releasing_the_worker_lets_the_run_go_on(w):
    quarantine(w)
    release(w)
    run = w.fresh()
    assert (run.state, run.desired, run.failure) == (RunState.TRAINING, DesiredState.RUNNING, None)


def test_a_run_that_people_had_paused_stays_paused_after_the_release(w):
    run_pause(actor=w.engineer, run=w.run)
    quarantine(w)
    assert w.fresh().failure["code"] == "CL-1512"
    release(w)
    assert (w.fresh().state, w.run.failure) == (RunState.PAUSED, None)


def test_a_run_held_for_two_workers_waits_for_both(w):
    quarantine(w, 1)
    quarantine(w, 2)
    release(w, 1)
    assert w.fresh().state == RunState.PAUSED
    assert w.workers[2].name in w.run.failure["message"]
    release(w, 2)
    assert w.fresh().state == RunState.TRAINING


def test_a_release_resumes_no_run_whose_dataset_was_withdrawn(w):
    quarantine(w)
    DatasetVersion.objects.filter(pk=w.versions[0].pk).update(withdrawn_at=timezone.now())
    release(w)
    assert (w.fresh().state, w.run.failure) == (RunState.PAUSED, None)
    told = w.run.records.filter(payload__name="run.released").get().payload
    assert told["error"]["code"] == "CL-1006"
    assert "withdrawn" in told["detail"]


def test_nobody_resumes_a_run_past_the_quarantine(w):
    quarantine(w)
    with pytest.raises(AppError) as caught:
        run_resume(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1006"
    assert w.organisations[2].name in caught.value.remedy


def test_the_silence_of_a_worker_in_quarantine_fails_no_run(w):
    quarantine(w)
    long_ago = timezone.now() - timedelta(hours=2)
    Participant.objects.filter(worker=w.workers[2]).update(last_beat_at=long_ago, phase_since=long_ago)
    sweep()
    assert w.fresh().state == RunState.PAUSED
    release(w)
    assert w.fresh().state == RunState.TRAINING


def test_a_run_that_started_beside_the_quarantine_is_held_by_the_next_sweep(w):
    Worker.objects.filter(pk=w.workers[2].pk).update(state=WorkerState.QUARANTINED)
    sweep()
    assert (w.fresh().state, w.run.failure["code"]) == (RunState.PAUSED, "CL-1512")


def test_a_held_run_can_be_stopped_though_the_worker_cannot_confirm(w):
    quarantine(w)
    run_stop(actor=w.engineer, run=w.run)
    for place in (0, 1):
        make.exit_part(w, place, "stopped")
    Run.objects.filter(pk=w.run.pk).update(state_since=timezone.now() - timedelta(hours=1))
    sweep()
    run = w.fresh()
    assert run.state == RunState.FAILED
    assert w.workers[2].name in run.failure["message"]


def test_the_page_of_a_held_run_says_why_and_whose_turn_it_is(w, client):
    quarantine(w)
    client.force_login(w.engineer)
    page = client.get(f"/runs/{w.run.id}").content.decode()
    assert "is in quarantine" in page
    assert f"compute operator of {w.organisations[2].name}" in page
    resume = f"/runs/{w.run.id}/resume"
    assert resume not in page  # nobody but the worker's own people can let the run go on
    Run.objects.filter(pk=w.run.pk).update(failure=None)
    Worker.objects.filter(pk=w.workers[2].pk).update(state=WorkerState.ACTIVE)
    assert resume in client.get(f"/runs/{w.run.id}").content.decode()
