"""Rows from before attempts were kept: what stood among a part's figures finds its place, and goes back as well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from webapp.adapters.tests.factories import finished, report
from webapp.jobs.models import Attempt, Job
from webapp.runs.lifecycle import assignments_for
from webapp.runs.models import Participant
from webapp.runs.tests import factories as make
from workers.contracts import ErrorInfo

BEFORE = [("jobs", None), ("runs", "0005_run_waited_at")]


def migrate(targets: list[tuple[str, str | None]]) -> Any:
    """Bring the tables to where they were then; returns the models of that time."""
    executor = MigrationExecutor(connection)
    executor.migrate(targets)
    return MigrationExecutor(connection).loader.project_state([one for one in targets if one[1]]).apps


@pytest.mark.django_db(transaction=True)
def test_attempts_and_silence_of_a_run_from_before_are_taken_over() -> None:
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    w = make.started()
    make.hold_checkpoints(w, 7)
    make.exit_part(w, 0, "failed", ErrorInfo(code="CL-1820", message="The disk is full."))
    silent_id = w.part(1).pk
    Participant.objects.filter(pk=silent_id).update(
        phase="dropped", phase_before_drop="training", metrics={"loss": 1.5}
    )
    try:
        of_before = migrate(BEFORE).get_model("runs", "Participant").objects.get(pk=silent_id)
        assert of_before.metrics == {"loss": 1.5, "phase_before_drop": "training", "checkpoint_step": 7}
    finally:
        migrate(latest)
    failed, silent = w.part(0), w.part(1)
    assert silent.metrics == {"loss": 1.5}
    assert silent.phase_before_drop == "training"
    told = {row.job.participant_id: row for row in Attempt.objects.select_related("job")}
    assert set(told) == {part.id for part in w.run.participants.all()}
    assert all(row.checkpoint_step == 7 and row.job.kind == "train" for row in told.values())
    assert (told[failed.id].outcome, (told[failed.id].error or {})["code"]) == ("failed", "CL-1820")
    assert told[failed.id].ended_at == failed.stop_confirmed_at
    assert (told[silent.id].outcome, told[silent.id].ended_at) == ("", None)


BEFORE_CHECKS = [("jobs", "0002_attempts_of_before")]


@pytest.mark.django_db(transaction=True)
def test_checks_and_halves_of_a_run_from_before_are_jobs(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    w, adapter = finished()
    report(w, 0, adapter)
    waiting = make.world(prefix="Other ")
    parts, of_waiting = list(w.run.participants.all()), list(waiting.run.participants.all())
    try:
        of_before = migrate(BEFORE_CHECKS).get_model("jobs", "Job").objects
        assert {(job.participant_id, job.kind) for job in of_before.all()} == {(part.id, "train") for part in parts}, (
            "what had no attempt had no job"
        )
    finally:
        migrate(latest)
    told = {(job.participant_id, job.kind, job.subject): job.outcome for job in Job.objects.all()}
    assert told == {
        **{(part.id, "train", ""): "done" for part in parts},
        **{(part.id, "train", ""): "" for part in of_waiting},
        (w.part(0).id, "evaluate", adapter.id): "done",
        (w.part(1).id, "evaluate", adapter.id): "",
    }
    [reported] = Attempt.objects.filter(job__kind="evaluate")
    assert (reported.number, reported.outcome, reported.job.participant_id) == (1, "done", w.part(0).id)
    assert reported.ended_at is not None
    assert [one.kind for one in assignments_for(w.workers[1])] == ["evaluate"]


BEFORE_HALVES = [("jobs", "0004_jobs_of_before"), ("runs", "0006_phase_before_drop")]


@pytest.mark.django_db(transaction=True)
def test_what_a_part_knew_of_its_half_is_known_of_its_job_and_goes_back(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    w, adapter = finished()
    report(w, 0, adapter)
    interrupted = make.started(prefix="Other ")
    make.exit_part(interrupted, 0, "failed", ErrorInfo(code="CL-1520", message="The half was lost."))
    parts, changed = list(Participant.objects.all()), interrupted.part(1).id
    without_half = interrupted.part(2).id
    known = {part.id: (part.wanted_attempt, part.outcome, part.stop_confirmed_at) for part in parts}
    assert {(wanted, outcome, bool(at)) for wanted, outcome, at in known.values()} == {
        (1, "done", True), (2, "", True), (2, "", False),
    }  # fmt: skip
    columns = ("id", "wanted_attempt", "outcome", "stop_confirmed_at")
    try:
        apps = migrate(BEFORE_HALVES)
        of_before = apps.get_model("runs", "Participant").objects
        assert {row[0]: row[1:] for row in of_before.values_list(*columns)} == known
        of_before.filter(id=changed).update(wanted_attempt=9, outcome="stopped")
        apps.get_model("jobs", "Job").objects.filter(participant_id__in=[changed, without_half]).delete()
    finally:
        migrate(latest)
    assert {
        part.id: (part.wanted_attempt, part.outcome, part.stop_confirmed_at) for part in Participant.objects.all()
    } == known | {changed: (9, "stopped", None)}
    [check] = Job.objects.filter(kind="evaluate").exclude(outcome="")
    assert check.ended_at == check.attempts.get().ended_at
