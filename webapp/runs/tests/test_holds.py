"""What one organisation paused or stopped, no other one sets going again."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from splitcore.errors import AppError
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import member
from webapp.runs.lifecycle import assignments_for
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.live.status import status_of
from webapp.runs.models import RunState
from webapp.runs.services import run_pause, run_resume, run_stop
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, metric, record
from workers.contracts import Desired

pytestmark = pytest.mark.django_db


def _training():
    w = make.started()
    for place in range(3):
        part = w.part(place)
        records_store(
            participant=part, batch=batch(part, metric(1), record(2, "event", name="checkpoint.saved", detail=""))
        )
    return w


def _paused(*, by):
    w = _training()
    run_pause(actor=by(w), run=w.run)
    w.fresh()
    return w


def _stopped(*, by):
    w = _training()
    run_stop(actor=by(w), run=w.run, reason="Not with these rows.")
    for place in range(3):
        make.exit_part(w, place, "stopped")
    assert w.fresh().state == RunState.STOPPED
    return w


def _beta(w):
    return w.approvers[1]


def _owner(w):
    return w.engineer


def _page(w, user):
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return browser.get(f"/runs/{w.run.id}").content.decode()


@pytest.mark.parametrize("held", [_paused, _stopped])
def test_the_owner_cannot_resume_what_a_partner_holds(held):
    w = held(by=_beta)
    before = w.run.state
    with pytest.raises(AppError) as refused:
        run_resume(actor=w.engineer, run=w.run)
    assert (refused.value.code, w.fresh().state) == ("CL-1515", before)
    assert "Beta bank" in refused.value.message
    assert "clone" in refused.value.remedy
    assert all(one.desired != Desired.RUNNING for one in assignments_for(w.workers[1]))


@pytest.mark.parametrize("held", [_paused, _stopped])
def test_somebody_of_the_partner_resumes_it(held):
    w = held(by=_beta)
    run_resume(actor=member(w.organisations[1], Role.ENGINEER), run=w.run)
    assert w.fresh().desired == "running"
    assert w.run.held_by == []


def test_a_partner_cannot_resume_what_the_owner_holds():
    w = _paused(by=_owner)
    with pytest.raises(AppError) as refused:
        run_resume(actor=_beta(w), run=w.run)
    assert (refused.value.code, w.fresh().state) == ("CL-1601", RunState.PAUSED)
    run_resume(actor=w.engineer, run=w.run)
    assert w.fresh().desired == "running"


def test_a_run_that_two_hold_goes_on_with_the_word_of_both():
    w = _paused(by=_owner)
    run_stop(actor=_beta(w), run=w.run)
    for place in range(3):
        make.exit_part(w, place, "stopped")
    run_resume(actor=_beta(w), run=w.run)
    assert w.fresh().state == RunState.STOPPED
    run_resume(actor=w.engineer, run=w.run)
    assert w.fresh().state == RunState.RECOVERING


def test_a_partner_that_stops_a_run_which_is_being_stopped_holds_it_too():
    w = _training()
    run_stop(actor=w.engineer, run=w.run)
    run_stop(actor=_beta(w), run=w.run)
    assert w.fresh().held_by == [w.organisations[0].id, w.organisations[1].id]


def test_a_viewer_of_the_partner_resumes_nothing():
    w = _paused(by=_beta)
    with pytest.raises(AppError) as refused:
        run_resume(actor=member(w.organisations[1], Role.VIEWER), run=w.run)
    assert refused.value.code == "CL-1601"


def test_the_page_says_who_has_to_resume():
    w = _paused(by=_beta)
    own, other = _page(w, w.engineer), _page(w, _beta(w))
    assert "someone at Beta bank has to resume it" in own
    resume = reverse("runs:control", args=[w.run.id, "resume"])
    assert resume not in own
    assert "someone at Beta bank has to resume it" not in other
    assert resume in other
    assert status_of(w.run, list(w.run.participants.all())).next_actor == "someone at Beta bank"
