"""Enrolled workers that say what is not so: of runs that have not started, have ended, or are another's."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from splitcore.errors import AppError
from webapp.audit.witness import restoration_record
from webapp.fleet.models import WorkerModel
from webapp.fleet.tests.factories import give_key
from webapp.jobs.selectors import checkpoint_steps
from webapp.orgs.tests.factories import api_token
from webapp.runs.lifecycle.ending import participant_exit
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.live.status import status_of
from webapp.runs.models import ParticipantRole, Run, RunState
from webapp.runs.services import PartyChoice, run_draft_save
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, metric, record
from workers.contracts import ErrorInfo, Exit, ModelRegistration

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
    part = w.part(2)
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
    assert checkpoint_steps([part.id]) == {part.id: 1}, "what a run can be resumed from may arrive late"


@pytest.mark.parametrize("told", [metric(1, step=5), record(1, "eval", loss=1.0, tokens=1)])
def test_a_step_that_the_run_does_not_have_is_refused(told):
    w = make.started()
    part = w.part(0)
    with pytest.raises(AppError, match="CL-1415"):
        records_store(participant=part, batch=batch(part, told.model_copy(update={"step": w.run.total_steps + 1})))
    assert (w.fresh().state, w.run.step) == (RunState.STARTING, 0)
    assert records_store(participant=part, batch=batch(part, metric(1, step=w.run.total_steps))).stored_through == 1


def test_an_end_is_taken_without_a_checkpoint_that_the_run_cannot_have():
    w = make.started()
    most = w.run.total_steps
    for place, step in ((0, most + 1), (1, 2**31 - 1), (2, most)):
        part, lost = w.part(place), ErrorInfo(code="CL-1520", message="The half was lost.")
        told = Exit(participant_id=part.id, attempt=part.attempt, outcome="failed", error=lost, checkpoint_step=step)
        participant_exit(worker=w.workers[place], run_id=w.run.id, exit_=told)
    assert checkpoint_steps([w.part(place).id for place in range(3)]) == {w.part(2).id: most}
    assert w.fresh().state == RunState.RECOVERING


@pytest.mark.parametrize(("outcome", "code"), [("failed", "CL-1821"), ("failed", "CL-1531"), ("stopped", "CL-1508")])
def test_an_evaluators_end_ends_no_run_where_an_older_hub_kept_a_half_for_it(outcome, code):
    w = make.started()
    w.run.participants.filter(pk=w.part(1).pk).update(role=ParticipantRole.EVALUATOR)
    with pytest.raises(AppError, match="CL-1504"):
        make.exit_part(w, 1, outcome, ErrorInfo(code=code, message="m"))
    assert (w.fresh().state, w.run.failure, w.part(1).outcome) == (RunState.STARTING, None, "")


def test_an_evaluator_has_no_half_whose_end_it_could_tell():
    """Its part is made as the form makes it, and bears no half."""
    w = make.world()
    owner = w.workers[1]
    parties = [
        PartyChoice("client", w.workers[0].id, w.versions[0].id),
        PartyChoice("evaluator", owner.id, w.versions[1].id),
        PartyChoice("server", w.workers[2].id),
    ]
    run_draft_save(
        actor=w.engineer,
        project=w.project,
        organisation=w.run.organisation,
        name="x",
        config=w.run.config,
        parties=parties,
        run=w.run,
    )
    make.submit(w)
    make.approve(w)
    part = w.fresh().participants.get(worker=owner)
    worker = give_key(owner)
    for outcome, code in (("failed", "CL-1821"), ("failed", "CL-1520"), ("stopped", None), ("done", None)):
        error = ErrorInfo(code=code, message="m") if code else None
        told = Exit(participant_id=part.id, attempt=0, outcome=outcome, error=error)
        assert worker.post(f"runs/{w.run.id}/exit", told).status_code == 404
    assert (w.fresh().state, w.run.failure) == (RunState.STARTING, None)


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


HUBS_OWN = ("run.approved", "adapter.verified", "run.done", "policy.accepted", "hub.restored", "stop.unconfirmed", "x")


@pytest.mark.parametrize("name", HUBS_OWN)
@pytest.mark.parametrize("place", range(3))
def test_a_worker_cannot_tell_what_is_the_hubs_to_tell(place, name):
    w = make.started()
    part, before = w.part(place), w.fresh().record_count
    with pytest.raises(AppError, match="CL-1415"):
        records_store(participant=part, batch=batch(part, record(1, "event", name=name, detail="It is done.")))
    assert w.fresh().record_count == before


@pytest.mark.parametrize(("role", "name"), [("client", "party.late"), ("evaluator", "checkpoint.saved")])
def test_an_event_of_another_role_is_refused(role, name):
    w = make.started()
    w.run.participants.filter(pk=w.part(0).pk).update(role=role)
    with pytest.raises(AppError, match="CL-1415"):
        records_store(participant=w.part(0), batch=batch(w.part(0), record(1, "event", name=name)))


def test_a_checkpoint_of_a_part_without_a_half_keeps_no_other_record_back():
    w = make.started()
    part = w.part(0)
    part.jobs.all().delete()
    told = [record(1, "event", name="checkpoint.saved"), record(2, "phase", phase="training")]
    assert records_store(participant=part, batch=batch(part, *told)).stored_through == 2
    assert w.part(0).phase == "training"


NAN = ErrorInfo(code="CL-1531", message="Ten values in a row were not finite.")


def told_of(w, place, party):
    part = w.part(place)
    told = record(part.last_seq + 1, "event", name="values.not_finite", detail=f"{party}: loss")
    records_store(participant=part, batch=batch(part, told))


def test_a_failure_is_not_put_on_another_party_by_one_partys_word():
    w = make.started()
    told_of(w, 0, w.part(1).party)
    make.exit_part(w, 0, "failed", NAN)
    assert (w.fresh().failure["organisation"], w.run.failure["party"]) == ("Alpha clinic", w.part(0).party)
    Run.objects.filter(pk=w.run.pk).update(state=RunState.FAILED)
    text = status_of(w.fresh(), list(w.run.participants.all())).text
    assert text.startswith("Failed at Alpha clinic")
    assert "which attributes it to Beta bank" in text


def test_a_failure_is_the_named_partys_once_its_own_record_agrees():
    w = make.started()
    told_of(w, 0, w.part(1).party)
    make.exit_part(w, 0, "failed", NAN)
    told_of(w, 2, w.part(1).party)
    assert w.fresh().failure["organisation"] == "Alpha clinic", "a second accuser is not the party itself"
    told_of(w, 1, w.part(1).party)
    assert (w.fresh().failure["organisation"], w.run.failure["told"]) == ("Beta bank", None)


def test_a_skipped_step_is_put_on_a_party_by_its_own_word_alone():
    w = make.started()
    told_of(w, 0, "server")
    assert (w.fresh().summary["skipped"]["steps"], w.run.summary["skipped"]["party"]) == (1, "")
    told_of(w, 2, "server")
    assert (w.fresh().summary["skipped"]["steps"], w.run.summary["skipped"]["party"]) == (1, w.part(2).party)


BIG = 2**60
POISON = (
    {"text_config": [1]},
    {"text_config": "x"},
    {**make.CONFIG, "text_config": [1]},
    {**make.CONFIG, "num_attention_heads": BIG},
    {**make.CONFIG, "num_hidden_layers": BIG},
    {**make.CONFIG, "num_hidden_layers": -1},
    {**make.CONFIG, "hidden_size": BIG, "vocab_size": BIG},
    {**make.CONFIG, "num_experts": BIG},
    {**make.CONFIG, "text_config": {"num_hidden_layers": BIG, "hidden_size": BIG}},
    {**make.CONFIG, "head_dim": BIG},
)


def registration(config, **fields):
    return ModelRegistration(
        model_id=make.MODEL, revision="", manifest_hash=make.MANIFEST, config=config, parameters=1, bytes=1, **fields
    )


@pytest.mark.parametrize("config", POISON)
def test_a_model_configuration_that_nobody_can_plan_with_is_refused_and_breaks_no_page(config, client):
    w = make.world()
    answer = give_key(w.workers[2]).post("models", registration(config))
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")
    assert WorkerModel.objects.get(worker=w.workers[2]).config == make.CONFIG
    # what an older hub has stored is first in every query
    long_ago = timezone.now() - timedelta(days=9)
    WorkerModel.objects.filter(worker=w.workers[2]).update(config=config, shape=None, created_at=long_ago)
    WorkerModel.objects.exclude(worker=w.workers[2]).update(config=config, shape=None)
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/runs/new?project={w.project.id}").status_code == 200
    assert client.get(f"/runs/{w.run.id}/edit").status_code == 200
    assert client.post(f"/runs/{w.run.id}/edit", {"action": "preset:privacy", "name": "x"}).status_code < 500
    headers = {"Authorization": f"Bearer {api_token(w.engineer, w.organisations[0])}"}
    assert client.post(f"/api/v1/runs/{w.run.id}/submit", headers=headers).status_code < 500


@pytest.mark.parametrize(
    "config",
    [make.CONFIG, {}, {"model_type": "of tomorrow", "intermediate_size": [1, 2], "num_attention_heads": None}],
)
def test_a_model_configuration_of_another_kind_is_registered(config):
    w = make.world()
    assert give_key(w.workers[2]).post("models", registration(config)).status_code == 200
    assert WorkerModel.objects.get(worker=w.workers[2]).planned_config == config


def test_no_worker_says_of_itself_that_it_is_silent():
    w = make.started()
    part = w.part(0)
    told = [record(1, "phase", phase="training"), record(2, "phase", phase="dropped")]
    records_store(participant=part, batch=batch(part, *told))
    assert w.part(0).phase == "training"
