"""A lost half fails no run at once: every part is taken up again, at most so often without a new step."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.urls import reverse
from django.utils import timezone

from splitcore.errors import AppError
from webapp.fleet.models import WorkerState
from webapp.fleet.services import worker_revoke
from webapp.orgs.models import Role
from webapp.orgs.tests.factories import member
from webapp.runs.life.recovering import MOST_IN_VAIN, can_continue
from webapp.runs.lifecycle import assignments_for, participant_exit, records_observed, settled_for
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.live.status import status_of
from webapp.runs.models import Run, RunState
from webapp.runs.services import run_pause, run_resume, run_stop
from webapp.runs.sweeping import sweep
from webapp.runs.tests import factories as make
from webapp.telemetry.exports import metrics_csv
from webapp.telemetry.models import Record
from webapp.telemetry.series import series_of
from webapp.telemetry.tests.batches import batch, metric, record
from workers.contracts import CHECKPOINT_DAYS, ErrorInfo, Exit

pytestmark = pytest.mark.django_db
KILLED = ErrorInfo(code="CL-1520", message="The job's process was killed.")
LOST = ErrorInfo(code="CL-1530", message="Another half of the run was lost.")


def observe(w: make.World, place: int, kind: str, step: int, **payload: object) -> None:
    record = SimpleNamespace(kind=kind, step=step, payload=payload)
    records_observed(participant=w.part(place), records=[record])


def trained(w: make.World, through: int, checkpoint: int = 0) -> None:
    """Every worker reports a step, and perhaps a checkpoint."""
    for place in range(3):
        observe(w, place, "metric", through, loss=1.0, tokens=1)
        if checkpoint:
            observe(w, place, "event", checkpoint, name="checkpoint.saved")
        w.fresh()


def all_lost(w: make.World) -> None:
    """The first half is killed, the others notice."""
    make.exit_part(w, 0, "failed", KILLED)
    make.exit_part(w, 2, "failed", LOST)
    make.exit_part(w, 1, "stopped")


def attempts(w: make.World) -> list[tuple[int, int]]:
    return [(w.part(place).attempt, w.part(place).wanted_attempt) for place in range(3)]


def events(w: make.World, name: str) -> list[Record]:
    return list(w.run.records.filter(kind="event", payload__name=name))


def sentence(w: make.World) -> str:
    return status_of(w.fresh(), list(w.run.participants.select_related("organisation", "worker"))).text


def test_after_a_killed_half_every_part_is_taken_up_again_and_the_run_goes_on() -> None:
    w = make.started()
    trained(w, 12, checkpoint=10)
    make.exit_part(w, 0, "failed", KILLED)
    assert (w.fresh().state, w.run.failure, w.run.recoveries) == (RunState.RECOVERING, None, 1)
    assert attempts(w) == [(1, 2)] * 3
    [computes] = assignments_for(w.workers[2])
    assert computes.wanted_attempt == 2, "its old process is still to end"
    assert set(computes.client_attempts.values()) == {2}, "clients of the old attempt are not let in any more"
    assert sentence(w).startswith("Recovering from step 10, attempt 2: waiting for Alpha clinic")
    make.exit_part(w, 2, "failed", LOST)
    make.exit_part(w, 1, "stopped")
    assert w.fresh().recoveries == 1, "one loss, one recovery, however many report it"
    assert [make.claim(w, place) for place in range(3)] == [2, 2, 2]
    assert attempts(w) == [(2, 2)] * 3
    trained(w, 11)
    assert w.fresh().state == RunState.TRAINING
    for place in range(3):
        make.exit_part(w, place, "done")
    assert w.fresh().state == RunState.FINISHING
    [event] = events(w, "run.recovering")
    assert event.payload["error"]["code"] == "CL-1520"
    assert "step 10, attempt 2" in event.payload["detail"]


@pytest.mark.parametrize("code", ["CL-1306", "CL-1503"])
def test_a_half_that_met_an_older_attempt_is_recovered_like_one_that_lost_its_partner(code: str) -> None:
    w = make.started()
    trained(w, 12, checkpoint=10)
    make.exit_part(w, 0, "failed", ErrorInfo(code=code, message="An older attempt."))
    assert (w.fresh().state, w.run.failure) == (RunState.RECOVERING, None)


def test_an_exit_of_the_interrupted_attempt_is_refused_after_the_new_claim() -> None:
    w = make.started()
    trained(w, 3)
    make.exit_part(w, 0, "failed", KILLED)
    make.claim(w, 1)
    with pytest.raises(AppError) as caught:
        make.exit_part(w, 1, "failed", LOST, attempt=1)
    assert caught.value.code == "CL-1503"


def test_recoveries_without_a_new_step_end_with_the_cause_and_a_person_can_resume() -> None:
    w = make.started()
    trained(w, 12, checkpoint=10)
    make.exit_part(w, 0, "failed", KILLED)
    for _ in range(MOST_IN_VAIN):
        assert w.fresh().state == RunState.RECOVERING
        for place in range(3):
            make.claim(w, place)
        all_lost(w)
    run = w.fresh()
    assert (run.state, run.failure["code"], run.failure["organisation"]) == (RunState.FAILED, "CL-1520", "Alpha clinic")
    assert assignments_for(w.workers[0]) == []
    assert settled_for(w.workers[0]) == [], "its checkpoints are kept for a while"
    assert can_continue(run)
    run_resume(actor=w.engineer, run=run)
    assert (w.fresh().state, w.run.failure, w.run.ended_at) == (RunState.RECOVERING, None, None)
    assert {a.desired for a in assignments_for(w.workers[0])} == {"running"}
    for place in range(3):
        make.claim(w, place)
    all_lost(w)
    assert w.fresh().state == RunState.RECOVERING, "the count began anew"


def test_a_new_step_between_two_losses_starts_the_count_again() -> None:
    w = make.started()
    for step in range(1, 2 * MOST_IN_VAIN + 1):
        trained(w, step)
        all_lost(w)
        for place in range(3):
            make.claim(w, place)
    assert (w.fresh().state, w.run.recoveries) == (RunState.RECOVERING, 2 * MOST_IN_VAIN)


def test_a_failed_run_without_checkpoints_or_with_a_revoked_worker_cannot_be_resumed() -> None:
    w = make.started()
    trained(w, 5)
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1820", message="The disk is full."))
    for place in (1, 2):
        make.exit_part(w, place, "stopped")
    assert w.fresh().state == RunState.FAILED
    with pytest.raises(AppError) as caught:
        run_resume(actor=w.engineer, run=w.run)
    assert caught.value.code == "CL-1501"
    make.hold_checkpoints(w, 5)
    assert can_continue(w.run)
    worker_revoke(actor=member(w.organisations[0], Role.ADMIN), worker=w.workers[0])
    assert w.part(0).worker.state == WorkerState.REVOKED
    assert not can_continue(w.run)


def test_a_trouble_of_its_own_ends_the_run_even_while_it_recovers() -> None:
    w = make.started()
    trained(w, 5)
    make.exit_part(w, 2, "failed", LOST)
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1820", message="The disk is full."))
    assert (w.fresh().state, w.run.failure["code"]) == (RunState.STOPPING, "CL-1820")
    make.exit_part(w, 1, "failed", LOST)
    assert w.fresh().state == RunState.FAILED


def test_a_stop_during_a_recovery_waits_for_the_processes_that_are_left() -> None:
    w = make.started()
    trained(w, 5)
    make.exit_part(w, 0, "failed", KILLED)
    make.claim(w, 0)
    make.exit_part(w, 2, "failed", LOST)
    run_stop(actor=w.engineer, run=w.run)
    make.exit_part(w, 0, "stopped")
    assert w.fresh().state == RunState.STOPPING
    make.exit_part(w, 1, "stopped")
    assert w.fresh().state == RunState.STOPPED, "the compute half had ended before and was not taken up again"


def test_a_half_lost_during_a_pause_is_taken_up_again_when_the_run_is_resumed() -> None:
    w = make.started()
    trained(w, 5)
    run_pause(actor=w.engineer, run=w.run)
    all_lost(w)
    assert w.fresh().state == RunState.PAUSED
    assert assignments_for(w.workers[0]) == []
    run_resume(actor=w.engineer, run=w.run)
    assert w.fresh().state == RunState.RECOVERING
    assert [(a.kind, a.wanted_attempt) for a in assignments_for(w.workers[0])] == [("train", 2)]


@pytest.mark.parametrize(
    ("code", "event", "told_by", "owner"),
    [
        ("CL-1532", "values.not_finite", (2, 1), "Beta bank"),
        ("CL-1532", "values.not_finite", (2,), "Gamma compute"),
        ("CL-1534", "party.late", (2,), "Gamma compute"),
    ],
)
@pytest.mark.parametrize("typed", [True, False], ids=["typed", "as_before_version_4"])
def test_what_pauses_every_half_pauses_the_run_and_names_its_party(code, event, told_by, owner, typed) -> None:
    w = make.started()
    trained(w, 3)
    party = w.part(1).party
    whose = {"source": party, "detail": "server: loss"} if typed else {"detail": f"{party}: loss"}
    for place in told_by:
        told = record(w.part(place).last_seq + 1, "event", name=event, **whose)
        records_store(participant=w.part(place), batch=batch(w.part(place), told))
    error = ErrorInfo(code=code, message="The run paused.")
    for place in (2, 0, 1):
        make.exit_part(w, place, "failed", error)
    run = w.fresh()
    assert (run.state, run.desired) == (RunState.PAUSED, "paused")
    assert (run.failure["code"], run.failure["organisation"]) == (code, owner)
    assert "Beta bank" in sentence(w)
    assert ("which attributes" in sentence(w)) == (owner != "Beta bank"), "the word of one party is shown as such"
    run_resume(actor=w.engineer, run=run)
    assert (w.fresh().state, w.run.failure) == (RunState.RECOVERING, None)
    assert attempts(w) == [(1, 2)] * 3


def test_the_curve_shows_a_repeated_step_once_as_the_newer_attempt_made_it() -> None:
    w = make.started(run_config=make.long_config())
    part = w.part(0)
    records_store(participant=part, batch=batch(part, *[metric(n, loss=float(n)) for n in range(1, 7)]))
    part.refresh_from_db()
    records_store(participant=part, batch=batch(part, metric(7, step=4, loss=40.0), metric(8, step=5, loss=50.0)))
    curve = series_of(w.fresh())[part.party]["loss"]
    assert [(step, value) for step, value, _ in curve] == [(1, 1.0), (2, 2.0), (3, 3.0), (4, 40.0), (5, 50.0)]
    w.run.recoveries = 1
    rows = csv.DictReader(io.StringIO("".join(metrics_csv(w.run))))
    assert [(row["step"], row["loss"]) for row in rows][-3:] == [("6", "6.0"), ("4", "40.0"), ("5", "50.0")]


def test_a_worker_takes_its_runs_up_in_the_order_of_their_start() -> None:
    first, second = make.world(), make.world(prefix="Other ")
    for w in (first, second):
        make.submit(w)
        make.approve(w)
    compute = first.workers[2]
    second.run.participants.filter(worker=second.workers[2]).update(worker=compute)  # both need this worker
    second.workers[2] = compute
    assert [a.run_id for a in assignments_for(compute)] == [first.run.id]
    with pytest.raises(AppError) as caught:
        make.claim(second, 2)
    assert caught.value.code == "CL-1511"
    make.claim(first, 2)
    assert {a.run_id for a in assignments_for(compute)} == {first.run.id, second.run.id}
    assert make.claim(second, 2) == 1


def test_a_run_that_took_a_worker_up_between_two_attempts_of_an_older_one_gives_way() -> None:
    older, younger = make.started(run_config=make.long_config()), make.world(prefix="Other ")
    trained(older, 12, checkpoint=10)
    make.submit(younger)
    make.approve(younger)
    for place in (0, 2):  # the younger run shares the compute worker and one data worker with the older
        part, shared = younger.part(place), older.workers[place]
        younger.run.participants.filter(pk=part.pk).update(worker=shared)
        younger.workers[place] = shared
    younger.run.participants.filter(worker=younger.workers[2]).update(attempt=1, phase="connecting")
    make.exit_part(older, 2, "failed", KILLED)
    assert older.fresh().state == RunState.RECOVERING
    sweep()
    assert attempts(younger)[2] == (1, 1), "the worker may have room for both"
    older.run.participants.update(phase_since=timezone.now() - timedelta(minutes=1))
    for _ in range(3):
        sweep()
    assert attempts(younger) == [(0, 1), (0, 1), (1, 2)]
    assert younger.fresh().state == RunState.STARTING
    assert younger.run.records.filter(payload__name="run.gave_way").count() == 1, "it gives way once"
    make.exit_part(younger, 2, "stopped", attempt=1)
    assert [a.run_id for a in assignments_for(older.workers[2])] == [older.run.id]
    assert make.claim(older, 2) == 2


def test_a_run_gives_nothing_to_a_part_that_its_own_site_keeps_waiting() -> None:
    older, younger = make.started(run_config=make.long_config()), make.world(prefix="Other ")
    trained(older, 12, checkpoint=10)
    make.submit(younger)
    make.approve(younger)
    younger.run.participants.filter(pk=younger.part(2).pk).update(worker=older.workers[2], attempt=1)
    make.exit_part(older, 2, "failed", KILLED)
    older.run.participants.update(
        phase_since=timezone.now() - timedelta(minutes=1),
        policy_verdict={"accepted": False, "waiting": True, "refusals": []},
    )
    sweep()
    assert not younger.run.records.filter(payload__name="run.gave_way").exists()


def test_the_time_of_a_start_counts_from_when_the_turn_has_come() -> None:
    older, younger = make.started(run_config=make.long_config()), make.world(prefix="Other ")
    make.submit(younger)
    make.approve(younger)
    younger.run.participants.filter(pk=younger.part(2).pk).update(worker=older.workers[2])
    younger.workers[2] = older.workers[2]
    Run.objects.filter(pk=younger.run.pk).update(state_since=timezone.now() - timedelta(hours=2))
    sweep()
    assert younger.fresh().state == RunState.STARTING, "it waits for the older run"
    Run.objects.filter(pk=older.run.pk).update(state=RunState.DONE)
    sweep()
    assert younger.fresh().state == RunState.STARTING, "its turn has only just come"
    Run.objects.filter(pk=younger.run.pk).update(waited_at=timezone.now() - timedelta(minutes=16))
    sweep()
    assert younger.fresh().failure["code"] == "CL-1506"


def stopped(w: make.World, checkpoint: int) -> None:
    """Stop and save: every worker confirms it and names its checkpoint."""
    run_stop(actor=w.engineer, run=w.run)
    for place in range(3):
        part = w.part(place)
        body = Exit(participant_id=part.id, attempt=part.attempt, outcome="stopped", checkpoint_step=checkpoint)
        participant_exit(worker=w.workers[place], run_id=w.run.id, exit_=body)
    assert w.fresh().state == RunState.STOPPED


def test_a_stopped_run_is_resumed_from_the_checkpoint_that_every_worker_saved(client) -> None:
    w = make.started(run_config=make.long_config())
    trained(w, 12)
    stopped(w, 12)
    assert "It can be resumed from step 12 until" in sentence(w)
    assert assignments_for(w.workers[0]) == []
    assert settled_for(w.workers[0]) == [], "its checkpoints are kept"
    client.force_login(w.engineer)
    address = reverse("runs:control", args=[w.run.id, "resume"])
    assert address in client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    client.post(address)
    assert (w.fresh().state, w.run.ended_at) == (RunState.RECOVERING, None)
    assert {(a.desired, a.wanted_attempt) for a in assignments_for(w.workers[0])} == {("running", 2)}
    assert [make.claim(w, place) for place in range(3)] == [2, 2, 2]
    trained(w, 13)
    assert w.fresh().state == RunState.TRAINING


def test_a_stopped_run_is_not_resumed_without_common_checkpoints_or_after_they_are_deleted() -> None:
    w = make.started()
    trained(w, 12)
    stopped(w, 0)
    assert not can_continue(w.run)
    make.hold_checkpoints(w, 12)
    assert can_continue(w.run)
    w.run.is_archived = True
    assert not can_continue(w.run), "it is restored first"
    w.run.is_archived = False
    w.run.ended_at -= timedelta(days=CHECKPOINT_DAYS)
    assert not can_continue(w.run)
    w.run.save()
    with pytest.raises(AppError, match="CL-1501"):
        run_resume(actor=w.engineer, run=w.run)


def test_an_archived_run_is_restored_from_its_page(client) -> None:
    w = make.started()
    stopped(w, 0)
    client.force_login(w.engineer)
    client.post(reverse("runs:control", args=[w.run.id, "archive"]))
    assert w.fresh().is_archived
    address = reverse("runs:control", args=[w.run.id, "restore"])
    assert address in client.get(reverse("runs:detail", args=[w.run.id])).content.decode()
    client.post(address)
    assert not w.fresh().is_archived
    assert w.run.name in client.get(reverse("runs:list")).content.decode()


NAN = ErrorInfo(code="CL-1531", message="Step 12 had a value that is not finite.", remedy="Lower the learning rate.")


def not_finite(w: make.World, place: int, *steps: int, source: str, evaluation: bool = False) -> None:
    """A half tells of steps that were skipped, or of evaluations that have no result."""
    part = w.part(place)
    event = {"name": "values.not_finite", "detail": "head", "source": source, "in_evaluation": evaluation}
    told = [record(part.last_seq + n, "event", **event) for n, _ in enumerate(steps, start=1)]
    told = [one.model_copy(update={"step": step}) for one, step in zip(told, steps, strict=True)]
    records_store(participant=part, batch=batch(part, *told))


def test_a_failure_by_values_names_whose_they_were_and_asks_the_author_to_lower_the_rate(client) -> None:
    w = make.started(run_config=make.long_config())
    trained(w, 2, checkpoint=2)
    for place in range(3):
        not_finite(w, place, *range(3, 13), source=w.part(0).party)
    for place in (1, 0, 2):
        make.exit_part(w, place, "failed", NAN)
    run = w.fresh()
    assert (run.state, run.failure["organisation"]) == (RunState.FAILED, "Alpha clinic")
    assert sentence(w).startswith("Failed because of a value from Alpha clinic")
    client.force_login(w.engineer)
    page = client.get(reverse("runs:detail", args=[run.id])).content.decode()
    assert "an engineer of Alpha clinic" in page
    assert reverse("runs:control", args=[run.id, "resume"]) not in page
    [primary] = re.findall(r'<button class="btn btn-primary" type="submit">(?:<svg.*?</svg>)?([^<]*)', page, re.S)
    assert primary.strip() == "Clone with a lower learning rate"
    client.post(reverse("runs:clone", args=[run.id]), {"lower_rate": "yes"})
    clone = Run.objects.get(parent=run)
    assert clone.config["training"]["learning_rate"] == pytest.approx(2e-5)


def test_the_first_skipped_step_is_told_on_the_runs_page() -> None:
    w = make.started(run_config=make.long_config())
    trained(w, 2)
    for place in range(3):
        not_finite(w, place, 3, source="server")
    assert "1 step was skipped because of a NaN or infinite value: last in step 3, Gamma compute." in sentence(w)
    not_finite(w, 0, 4, source="server")
    assert "2 steps were skipped" in sentence(w)
    not_finite(w, 0, 4, source="server", evaluation=True)
    not_finite(w, 0, 5, source="server", evaluation=True)
    assert "2 steps were skipped" in sentence(w), "an evaluation skips none"
