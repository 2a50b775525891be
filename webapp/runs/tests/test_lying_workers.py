"""Enrolled workers that say what is not so: of runs that have not started, have ended, or are another's."""

from __future__ import annotations

import pytest

from splitcore.errors import AppError
from webapp.audit.witness import restoration_record
from webapp.runs.models import ParticipantRole, Run, RunState
from webapp.runs.tests import factories as make
from webapp.telemetry.services import records_store
from webapp.telemetry.tests.batches import batch, metric, record

pytestmark = pytest.mark.django_db


@pytest.fixture(params=[RunState.DRAFT, RunState.AWAITING, RunState.APPROVED])
def unstarted(request) -> make.World:
    w = make.world()
    if request.param != RunState.DRAFT:
        make.submit(w)
    if request.param == RunState.APPROVED:
        Run.objects.filter(pk=w.run.pk).update(start_when_approved=False)
        make.approve(w)
    assert w.fresh().state == request.param
    return w


@pytest.mark.parametrize("attempt", [0, 1])
@pytest.mark.parametrize("restored", [False, True])
def test_nothing_is_told_of_a_run_that_has_not_started(unstarted, attempt, restored):
    w, part, before = unstarted, unstarted.part(2), unstarted.run.record_count
    if restored:
        restoration_record(sequence=0, head="")
    with pytest.raises(AppError) as raised:
        records_store(participant=part, batch=batch(part, metric(1), attempt=attempt))
    assert (raised.value.code, raised.value.details["newest"]) == ("CL-1504", 0)
    with pytest.raises(AppError, match="CL-1504"):
        make.exit_part(w, 2, "done", attempt=attempt)
    part.refresh_from_db()
    assert (part.attempt, part.outcome, part.step) == (0, "", 0)
    assert (w.fresh().record_count, w.run.step, w.run.summary) == (before, 0, {})


@pytest.mark.parametrize("state", [RunState.FINISHING, RunState.STOPPING, RunState.FAILED, RunState.DONE])
def test_an_attempt_is_taken_over_by_a_restored_hub_alone(state):
    w = make.started()
    Run.objects.filter(pk=w.run.pk).update(state=state)
    part = w.part(0)
    for tell in (
        lambda: records_store(participant=part, batch=batch(part, metric(1), attempt=4)),
        lambda: make.exit_part(w, 0, "done", attempt=4),
    ):
        with pytest.raises(AppError, match="CL-1503"):
            tell()
    restoration_record(sequence=0, head="")
    assert records_store(participant=part, batch=batch(part, metric(1), attempt=4)).stored_through == 1
    assert w.part(0).attempt == 4


@pytest.mark.parametrize("state", [RunState.DONE, RunState.FAILED, RunState.STOPPED])
def test_late_records_of_an_ended_run_are_kept_and_its_figures_stand(state):
    w = make.started()
    part = w.part(0)
    records_store(participant=part, batch=batch(part, metric(1), record(2, "eval", loss=3.0, tokens=40)))
    Run.objects.filter(pk=w.run.pk).update(state=state)
    before = w.fresh().summary, w.run.step
    late = [
        metric(3, step=4),
        record(4, "eval", loss=-1e30, tokens=2**53),
        record(5, "event", name="checkpoint.saved"),
    ]
    assert records_store(participant=part, batch=batch(part, *late)).stored_through == 5
    assert (w.fresh().summary, w.run.step) == before
    assert w.part(0).metrics["checkpoint_step"] == 1, "what a run can be resumed from may arrive late"


@pytest.mark.parametrize("told", [metric(1, step=5), record(1, "eval", loss=1.0, tokens=1)])
def test_a_step_that_the_run_does_not_have_is_refused(told):
    w = make.started()
    part = w.part(0)
    with pytest.raises(AppError, match="CL-1415"):
        records_store(participant=part, batch=batch(part, told.model_copy(update={"step": w.run.total_steps + 1})))
    assert (w.fresh().state, w.run.step) == (RunState.STARTING, 0)
    assert records_store(participant=part, batch=batch(part, metric(1, step=w.run.total_steps))).stored_through == 1


@pytest.mark.parametrize("fields", [{"role": ParticipantRole.EVALUATOR}, {"attempt": 0}])
def test_an_evaluator_or_a_part_that_nobody_took_up_starts_no_training(fields):
    w = make.started()
    w.run.participants.filter(pk=w.part(0).pk).update(**fields)
    part = w.part(0)
    records_store(participant=part, batch=batch(part, metric(1)))
    assert (w.fresh().state, w.run.step) == (RunState.STARTING, 0)


def test_a_partys_loss_weighs_no_more_than_its_rows_allow():
    w = make.started()
    for place, loss, tokens in ((0, 1.0, 2**53), (1, 3.0, 110 * 16), (2, 9.0, 2**53)):
        part = w.part(place)
        records_store(participant=part, batch=batch(part, record(1, "eval", loss=loss, tokens=tokens)))
    assert w.fresh().summary["loss_after"] == pytest.approx(2.0), "two equal datasets, and a server without rows"
