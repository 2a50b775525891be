"""A hub restored from a backup: attempts go on above those it forgot, and live runs start again from checkpoints."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from webapp.audit.witness import restoration_record
from webapp.runs.fencing import ATTEMPT_JUMP, ATTEMPTS
from webapp.runs.life.effects import ATTEMPT_GAP
from webapp.runs.lifecycle import participant_claim
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.lifecycle.restoring import runs_after_restore
from webapp.runs.live.status import status_of
from webapp.runs.models import RunState
from webapp.runs.services import run_resume, run_stop
from webapp.runs.tests.factories import approve, claim, exit_part, hold_checkpoints, started, submit, verdict, world
from webapp.telemetry.tests.batches import batch, metric
from workers.contracts import OTHER_CONTRACT, Claim, Desired

pytestmark = pytest.mark.django_db


def claim_above(w, place, highest):
    body = Claim(
        participant_id=w.part(place).id, contract_hash=w.fresh().contract_hash, job_id="job", highest_attempt=highest
    )
    return participant_claim(worker=w.workers[place], run_id=w.run.id, claim=body).attempt


def test_a_claim_goes_on_above_the_highest_attempt_of_the_worker():
    w = started()
    w.halves.update(wanted_attempt=2)
    assert claim_above(w, 0, 7) == 8
    w.halves.update(wanted_attempt=20)
    assert claim_above(w, 1, 3) == 20


@pytest.mark.parametrize("highest", [2**31 - 1, 2**31 - 2, ATTEMPT_JUMP + 1])
def test_an_attempt_that_no_hub_can_have_handed_out_is_refused_at_the_claim(highest):
    w = started()
    with pytest.raises(AppError) as raised:
        claim_above(w, 0, highest)
    assert raised.value.code == "CL-1513"
    assert w.part(0).attempt == 1


def test_attempts_end_long_before_the_databases_column():
    w = started()
    w.run.participants.update(attempt=ATTEMPTS - 5)
    w.halves.update(wanted_attempt=ATTEMPTS)
    assert claim(w, 0) == ATTEMPTS
    with pytest.raises(AppError) as raised:
        claim(w, 0)
    assert raised.value.code == "CL-1513"


def test_an_exit_and_a_record_cannot_carry_an_attempt_out_of_bounds():
    w = started()
    restoration_record(sequence=0, head="")
    run_stop(actor=w.engineer, run=w.run)
    with pytest.raises(AppError) as raised:
        exit_part(w, 0, "stopped", attempt=2**31 - 2)
    assert raised.value.code == "CL-1513"
    with pytest.raises(AppError) as raised:
        records_store(participant=w.part(0), batch=batch(w.part(0), metric(1), attempt=2**31 - 2))
    assert raised.value.code == "CL-1513"
    assert w.part(0).attempt == 1


def test_a_live_run_asks_every_part_for_a_new_attempt_and_takes_the_old_ones_records():
    w = started()
    records_store(participant=w.part(0), batch=batch(w.part(0), metric(1)))
    runs_after_restore()
    assert w.fresh().state == RunState.RECOVERING
    assert all(part.awaits_claim for part in w.run.participants.all())
    reply = records_store(participant=w.part(0), batch=batch(w.part(0), metric(2)))
    assert (reply.stored_through, reply.desired) == (2, Desired.STOPPED)
    assert claim_above(w, 0, 3) >= ATTEMPT_GAP


def test_a_part_whose_worker_is_ahead_of_the_restored_hub_keeps_its_records_for_the_next_claim():
    w = started()
    runs_after_restore()
    with pytest.raises(AppError) as raised:
        records_store(participant=w.part(0), batch=batch(w.part(0), metric(1), attempt=2))
    assert raised.value.details == {"attempt": 2, "newest": 1}
    attempt = claim_above(w, 0, 2)
    assert records_store(participant=w.part(0), batch=batch(w.part(0), metric(1), attempt=attempt)).stored_through == 1


def test_a_run_that_was_not_started_can_be_taken_up_by_workers_that_ran_it_in_the_lost_time():
    w = world()
    submit(w)
    runs_after_restore()
    approve(w)
    assert w.part(0).wanted_attempt > 5
    assert claim(w, 0) == w.part(0).wanted_attempt


def test_a_stop_is_confirmed_by_workers_whose_attempt_the_hub_forgot():
    w = started()
    run_stop(actor=w.engineer, run=w.run)
    restoration_record(sequence=0, head="")
    runs_after_restore()
    for place in range(3):
        exit_part(w, place, "stopped", attempt=4)
    assert w.fresh().state == RunState.STOPPED


def test_a_failed_run_is_resumed_above_what_was_forgotten():
    w = started()
    hold_checkpoints(w, 2)
    type(w.run).objects.update(state=RunState.FAILED, ended_at=w.fresh().state_since)
    runs_after_restore()
    run_resume(actor=w.engineer, run=w.run)
    assert all(part.wanted_attempt > ATTEMPT_GAP for part in w.run.participants.all())


def test_a_stopped_run_is_resumed_above_what_was_forgotten():
    w = started()
    hold_checkpoints(w, 2)
    type(w.run).objects.update(state=RunState.STOPPED, ended_at=w.fresh().state_since)
    runs_after_restore()
    assert w.fresh().state == RunState.STOPPED
    run_resume(actor=w.engineer, run=w.run)
    assert all(part.wanted_attempt > ATTEMPT_GAP for part in w.run.participants.all())


@pytest.mark.parametrize("state", [RunState.DRAFT, RunState.DECLINED])
def test_a_draft_that_ran_in_the_lost_time_starts_above_what_was_forgotten(state):
    w = world()
    type(w.run).objects.update(state=state)
    runs_after_restore()
    assert w.fresh().state == state
    type(w.run).objects.update(state=RunState.DRAFT)
    submit(w)
    approve(w)
    assert claim(w, 0) == ATTEMPT_GAP


def test_a_run_that_is_done_stays_as_it_is():
    w = started()
    type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.DONE)
    runs_after_restore()
    assert [part.wanted_attempt for part in w.run.participants.all()] == [1, 1, 1]


def test_the_runs_that_are_under_way_are_counted_and_no_others():
    started()
    world(prefix="Draft ")
    ended = started(prefix="Ended ")
    type(ended.run).objects.filter(pk=ended.run.pk).update(state=RunState.FAILED)
    assert runs_after_restore() == 1


def test_a_run_whose_workers_admitted_a_contract_that_the_hub_forgot_asks_for_a_clone():
    w = world()
    submit(w)
    runs_after_restore()
    verdict(w, 0, accepted=False, refusals=[{"field": OTHER_CONTRACT, "message": "Clone the run."}])
    with pytest.raises(AppError) as raised:
        approve(w, 1)
    assert raised.value.code == "CL-1514"
    assert "lone the run" in raised.value.remedy
    assert "Clone" in status_of(w.fresh(), list(w.run.participants.all())).text
