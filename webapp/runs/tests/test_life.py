"""A run's life with its workers: fencing, confirmed stop, first cause of failure, silence."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.http import Http404
from django.utils import timezone

from splitcore.errors import AppError
from webapp.fleet.services import worker_revoke
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import member
from webapp.runs.life.failing import mender_of
from webapp.runs.lifecycle import assignments_for, participant_beat, server_ready
from webapp.runs.lifecycle.observing import records_observed
from webapp.runs.models import Participant, Run, RunState
from webapp.runs.services import run_start, run_stop
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make
from workers.contracts import Claim, ErrorInfo, Ready

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _hub_watched():
    make.hub_watched()


def _age(model, pk, **fields):
    model.objects.filter(pk=pk).update(**{name: timezone.now() - delta for name, delta in fields.items()})


def _metric(step, **payload):
    return SimpleNamespace(kind="metric", step=step, payload={"loss": 2.0, "tokens": 10, "seconds": 0.5, **payload})


def _observe(w, place, *records):
    part = Participant.objects.select_related("run", "organisation", "worker").get(pk=w.part(place).pk)
    records_observed(participant=part, records=records)


def test_a_run_cannot_start_before_it_is_approved():
    w = make.world()
    with pytest.raises(AppError) as caught:
        run_start(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1501"


def test_assignments_follow_the_life_of_the_run():
    w = make.world()
    assert assignments_for(w.workers[0]) == []
    make.submit(w)
    review = assignments_for(w.workers[0])
    assert [(a.kind, a.desired) for a in review] == [("review", "none")]
    make.verdict(w, 0, accepted=True)
    accepted = assignments_for(w.workers[0])
    assert [(a.kind, a.desired) for a in accepted] == [("review", "none")], "it is judged again until the run starts"
    make.approve(w)
    (train,) = assignments_for(w.workers[0])
    assert (train.kind, train.desired, train.contract) == ("train", "running", w.fresh().contract)
    assert len(train.certificates) == 3


def test_a_new_claim_fences_every_message_of_the_older_attempt():
    w = make.started()
    assert make.claim(w, 2) == 2
    part = w.part(2)
    with pytest.raises(AppError) as caught:
        server_ready(
            worker=w.workers[2], run_id=w.run.id, ready=Ready(participant_id=part.id, attempt=1, host="h", port=1)
        )
    assert caught.value.code == "CL-1503"
    with pytest.raises(AppError) as caught:
        make.exit_part(w, 2, "failed", attempt=1)
    assert caught.value.code == "CL-1503"
    assert w.fresh().state == RunState.STARTING


def test_a_worker_cannot_touch_anothers_part():
    w = make.started()
    body = Claim(participant_id=w.part(1).id, contract_hash=w.fresh().contract_hash, job_id="x")
    from webapp.runs.lifecycle import participant_claim

    with pytest.raises(Http404):
        participant_claim(worker=w.workers[0], run_id=w.run.id, claim=body)


def test_the_address_of_the_server_half_reaches_the_clients():
    w = make.started()
    body = Ready(participant_id=w.part(2).id, attempt=1, host="10.0.0.3", port=7001)
    server_ready(worker=w.workers[2], run_id=w.run.id, ready=body)
    (train,) = assignments_for(w.workers[0])
    assert (train.server_address, train.server_attempt) == ("10.0.0.3:7001", 1)


def test_the_first_metric_means_training_and_bytes_are_counted_once():
    w = make.started()
    _observe(w, 0, _metric(1, bytes_up=100, bytes_down=50), _metric(2, bytes_up=100, bytes_down=50))
    _observe(w, 2, _metric(2, bytes_up=100, bytes_down=50))
    run = w.fresh()
    assert (run.state, run.step) == (RunState.TRAINING, 2)
    assert run.summary["bytes"] == {"uplink": 200, "downlink": 100}
    assert w.part(0).metrics["loss"] == 2.0


def test_the_runs_evaluation_is_the_mean_of_the_parties_weighted_by_tokens():
    w = make.started()
    for place, first, last, tokens in ((0, 4.0, 2.0, 30), (1, 2.0, 1.0, 10)):
        for step, loss in ((0, first), (4, last)):
            _observe(w, place, SimpleNamespace(kind="eval", step=step, payload={"loss": loss, "tokens": tokens}))
    assert (w.fresh().summary["loss_before"], w.run.summary["loss_after"]) == (3.5, 1.75)


def test_a_stop_is_complete_only_when_every_worker_has_confirmed_it():
    w = make.started()
    run_stop(actor=w.approvers[1], run=w.run, reason="Maintenance.")
    assert w.fresh().state == RunState.STOPPING
    assert {a.desired for a in assignments_for(w.workers[0])} == {"stopped"}
    for place in (0, 1):
        make.exit_part(w, place, "stopped")
        assert w.fresh().state == RunState.STOPPING
    make.exit_part(w, 2, "stopped")
    assert w.fresh().state == RunState.STOPPED
    assert all(p.stop_confirmed_at for p in w.run.participants.all())
    assert assignments_for(w.workers[0]) == []


def test_a_worker_that_never_took_up_its_part_has_nothing_to_confirm():
    w = make.world()
    make.submit(w)
    make.approve(w)
    make.claim(w, 0)
    run_stop(actor=w.engineer, run=w.run)
    make.exit_part(w, 0, "stopped")
    assert w.fresh().state == RunState.STOPPED
    with pytest.raises(AppError) as caught:
        make.claim(w, 1)
    assert caught.value.code == "CL-1504"


def test_the_first_cause_of_a_failure_is_kept_with_its_owner():
    w = make.started()
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1820", message="The disk is full.", remedy="Free some."))
    run = w.fresh()
    assert (run.state, run.desired) == (RunState.STOPPING, "stopped")
    make.exit_part(w, 2, "failed", ErrorInfo(code="CL-1311", message="NaN", remedy=""))
    make.exit_part(w, 1, "stopped")
    run = w.fresh()
    assert run.state == RunState.FAILED
    assert (run.failure["code"], run.failure["organisation"]) == ("CL-1820", "Alpha clinic")
    assert run.failure["remedy"] == "Free some."


def test_who_configured_the_run_can_mend_what_the_configuration_causes():
    w = make.started()
    make.exit_part(w, 2, "failed", ErrorInfo(code="CL-1105", message="A module is missing.", remedy="Choose others."))
    assert mender_of(w.fresh()) == f"an engineer of {w.run.organisation.name}"


def test_the_consequence_at_the_other_site_gives_way_to_the_cause():
    w = make.started()
    make.exit_part(w, 2, "failed", ErrorInfo(code="CL-1326", message="The connection was lost."))
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1820", message="The disk is full."))
    make.exit_part(w, 1, "failed", ErrorInfo(code="CL-1329", message="The other half reported an error."))
    assert (w.fresh().failure["code"], w.run.failure["worker"]) == ("CL-1820", w.workers[0].name)


def test_a_revoked_worker_fails_its_live_run_at_once_and_nobody_waits_for_its_word():
    w = make.started()
    worker_revoke(actor=member(w.organisations[0], Role.ADMIN), worker=w.workers[0])
    run = w.fresh()
    assert (run.state, run.desired) == (RunState.STOPPING, "stopped")
    assert (run.failure["code"], run.failure["worker"]) == ("CL-1412", w.workers[0].name)
    assert w.part(0).stop_confirmed_at is None
    make.exit_part(w, 1, "stopped")
    make.exit_part(w, 2, "stopped")
    assert w.fresh().state == RunState.FAILED


def test_repeating_an_exit_changes_nothing():
    w = make.started()
    make.exit_part(w, 0, "done")
    seq = w.fresh().record_count
    make.exit_part(w, 0, "done")
    assert w.fresh().record_count == seq


def test_a_silent_worker_is_marked_after_three_beats_and_comes_back_by_itself(settings):
    w = make.started()
    part = w.part(1)
    Participant.objects.filter(pk=part.pk).update(phase="training")
    _age(Participant, part.pk, last_beat_at=timedelta(seconds=settings.WORKER_BEAT_SECONDS * 3 + 1))
    sweep()
    assert w.part(1).phase == "dropped"
    assert w.fresh().state == RunState.STARTING
    participant_beat(worker=w.workers[1], lanes=[])
    assert w.part(1).phase == "training"


def test_a_worker_that_stays_away_fails_the_run_and_is_named():
    w = make.started()
    Participant.objects.filter(pk=w.part(1).pk).update(phase="dropped", phase_before_drop="training")
    _age(Participant, w.part(1).pk, phase_since=timedelta(minutes=16), last_beat_at=timedelta(minutes=17))
    _observe(w, 0, _metric(1))
    sweep()
    run = w.fresh()
    assert run.state == RunState.STOPPING
    assert (run.failure["code"], run.failure["organisation"], run.failure["phase"]) == (
        "CL-1510",
        "Beta bank",
        "training",
    )


def test_a_run_that_does_not_start_fails_and_names_who_is_behind():
    w = make.world()
    make.submit(w)
    make.approve(w)
    for place in (0, 2):
        make.claim(w, place)
    _age(Run, w.run.pk, state_since=timedelta(minutes=16))
    sweep()
    assert (w.fresh().failure["code"], w.run.failure["organisation"]) == ("CL-1506", "Beta bank")


def test_a_stop_that_a_dead_machine_cannot_confirm_ends_as_failed_and_says_so():
    w = make.started()
    run_stop(actor=w.engineer, run=w.run)
    for place in (0, 2):
        make.exit_part(w, place, "stopped")
    _age(Participant, w.part(1).pk, last_beat_at=timedelta(minutes=5))
    _age(Run, w.run.pk, state_since=timedelta(minutes=4))
    sweep()
    assert (w.fresh().state, w.run.failure["code"]) == (RunState.FAILED, "CL-1507")
    assert [a.desired for a in assignments_for(w.workers[1])] == ["stopped"]  # it is told so when it comes back


def test_after_the_hub_itself_was_away_no_worker_is_blamed(settings):
    w = make.started()
    away = timedelta(seconds=settings.WORKER_BEAT_SECONDS * 3 + 17)
    for place in range(3):
        _age(Participant, w.part(place).pk, last_beat_at=away)
    make.hub_watched(last=away)
    sweep()
    sweep()
    assert {w.part(place).phase for place in range(3)} == {"starting"}
    names = [row.payload["name"] for row in w.run.records.filter(kind="event")]
    assert names.count("hub.returned") == 1
    assert "participant.dropped" not in names
    make.hub_watched(since=timedelta(seconds=settings.WORKER_BEAT_SECONDS * 3 + 1))
    sweep()
    assert w.part(1).phase == "dropped", "a worker that stays silent after that is away itself"
    [told] = w.run.records.filter(kind="event", payload__name="hub.returned")
    assert "The hub was down for about" in told.payload["detail"]


def test_one_silent_worker_is_not_taken_for_an_absence_of_the_hub(settings):
    w = make.started()
    _age(Participant, w.part(1).pk, last_beat_at=timedelta(minutes=2))
    make.hub_watched(last=timedelta(minutes=1))
    sweep()
    assert not w.run.records.filter(payload__name="hub.returned").exists()


def test_a_server_that_is_ready_too_late_shows_nowhere():
    w = make.started()
    run_stop(actor=w.engineer, run=w.run)
    part, before = w.part(2), w.fresh().record_count
    ready = Ready(participant_id=part.id, attempt=part.attempt, host="10.0.0.1", port=7000)
    server_ready(worker=w.workers[2], run_id=w.run.id, ready=ready)
    assert (w.part(2).address, w.fresh().record_count) == ("", before)
