"""What a kind that is added needs at the hub: a line of each table, and its class."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Annotated, ClassVar

import pytest
from django.http import Http404
from pydantic import Field

from splitcore.errors import AppError
from webapp.fleet.tests.factories import give_key
from webapp.jobs.models import Job
from webapp.jobs.services import job_request
from webapp.runs.kinds.kind import HubKind
from webapp.runs.kinds.registry import KINDS
from webapp.runs.lifecycle import assignments, assignments_for, participant_exit
from webapp.runs.lifecycle.reporting import records_store
from webapp.runs.models import Participant, RunState
from webapp.runs.tests import factories as make
from webapp.telemetry.tests.batches import batch, record
from workers.contracts import JOBS, PROTOCOL_VERSION, ErrorInfo, Exit, JobForm, Message, Phase, exit_form, spec_read

pytestmark = pytest.mark.django_db


class CountSpec(Message):
    """What the kind that a test adds is told."""

    factor: Annotated[int, Field(ge=1, le=9)]


class CountEnd(Exit):
    """What its end reports."""

    layers: Annotated[int, Field(ge=0, le=1000)] = 0


class Count(HubKind):
    """While a run trains, a worker may be asked to count the layers that it holds."""

    name: ClassVar[str] = "count"
    wanted_in: ClassVar[Collection[RunState]] = (RunState.TRAINING,)
    begins_in: ClassVar[Phase | None] = Phase.LOADING_DATA


@pytest.fixture(autouse=True)
def _count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "count", JobForm(CountSpec, PROTOCOL_VERSION, CountEnd))
    monkeypatch.setitem(KINDS, "count", Count())
    assignments._open_parts.cache_clear()
    yield
    assignments._open_parts.cache_clear()


def asked() -> tuple[make.World, Job]:
    """A run that trains, whose first part is asked to count."""
    w = make.started()
    type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.TRAINING)
    return w, job_request(participant_id=w.part(0).id, kind="count", subject="layers", spec={"factor": 3})


def counted(part: Participant, **told: object) -> Exit:
    """The end of the job, as its worker tells it."""
    values = {"outcome": "done", "kind": "count", "subject": "layers", "layers": 6, **told}
    form = exit_form(json.dumps({"kind": values["kind"]}))
    known = {name: value for name, value in values.items() if name in form.model_fields}
    return form(**{"participant_id": part.id, "attempt": part.attempt, **known})


def test_worker_is_told_of_it_beside_its_half_and_nobody_else_is() -> None:
    w, _ = asked()
    half, count = assignments_for(w.workers[0])
    assert (half.kind, count.kind, count.kind_since, count.subject) == ("train", "count", PROTOCOL_VERSION, "layers")
    assert spec_read(count) == CountSpec(factor=3)
    assert [one.kind for one in assignments_for(w.workers[1])] == ["train"]
    type(w.run).objects.filter(pk=w.run.pk).update(state=RunState.PAUSED)
    assert [one.kind for one in assignments_for(w.workers[0])] == ["train"]


def test_its_end_is_kept_once_and_moves_no_half() -> None:
    w, job = asked()
    participant_exit(worker=w.workers[0], run_id=w.run.id, exit_=counted(w.part(0)))
    participant_exit(worker=w.workers[0], run_id=w.run.id, exit_=counted(w.part(0), layers=7))
    job.refresh_from_db()
    [attempt] = job.attempts.all()
    assert (job.outcome, job.result, attempt.outcome) == ("done", {"layers": 6}, "done")
    assert (w.part(0).outcome, w.fresh().state) == ("", RunState.TRAINING)
    assert [one.kind for one in assignments_for(w.workers[0])] == ["train"]


def begins(w: make.World, seq: int) -> None:
    """The job's process tells of itself by its phase, as part of the half's newest attempt."""
    part = w.part(0)
    records_store(participant=part, batch=batch(part, record(seq, "phase", phase="loading_data")))


def test_its_end_is_taken_though_the_half_has_begun_anew_meanwhile() -> None:
    w, job = asked()
    begins(w, 1)
    told = counted(w.part(0))
    make.claim(w, 0)
    assert w.part(0).attempt == told.attempt + 1
    participant_exit(worker=w.workers[0], run_id=w.run.id, exit_=told)
    job.refresh_from_db()
    assert (job.outcome, job.result) == ("done", {"layers": 6})


@pytest.mark.parametrize("offset", [-1, 1], ids=["of-before", "never-handed-out"])
def test_end_of_another_attempt_at_it_is_refused(offset: int) -> None:
    w, job = asked()
    begins(w, 1)
    make.claim(w, 0)
    begins(w, 2)
    told = counted(w.part(0), attempt=w.part(0).attempt + offset)
    with pytest.raises(AppError, match="CL-1503"):
        participant_exit(worker=w.workers[0], run_id=w.run.id, exit_=told)
    job.refresh_from_db()
    assert job.outcome == ""


def test_its_failure_keeps_the_error_and_no_result() -> None:
    w, job = asked()
    lost = counted(w.part(0), outcome="failed", error=ErrorInfo(code="CL-1520", message="It was lost."))
    participant_exit(worker=w.workers[0], run_id=w.run.id, exit_=lost)
    job.refresh_from_db()
    [attempt] = job.attempts.all()
    assert (job.outcome, job.result) == ("failed", None)
    assert (attempt.error or {})["code"] == "CL-1520"
    assert w.fresh().state == RunState.TRAINING


@pytest.mark.parametrize("more", [{"layers": 5000}, {"rows": ["a row"]}], ids=["bounds", "more"])
def test_end_in_another_form_is_refused(more: dict[str, object]) -> None:
    w, job = asked()
    worker, told = give_key(w.workers[0]), counted(w.part(0)).model_dump()
    answer = worker.post(f"runs/{w.run.id}/exit", told | more)
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")
    job.refresh_from_db()
    assert job.outcome == ""
    assert worker.post(f"runs/{w.run.id}/exit", told).status_code == 200
    job.refresh_from_db()
    assert (job.outcome, job.result) == ("done", {"layers": 6})


@pytest.mark.parametrize(
    ("place", "told"),
    [(1, {}), (0, {"subject": "rows"}), (0, {"kind": "audit"}), (0, {"kind": "evaluate", "subject": ""})],
    ids=["not-asked", "other-subject", "no-kind", "ends-by-a-report"],
)
def test_job_that_was_not_asked_for_does_not_exist(place: int, told: dict[str, str]) -> None:
    w, _ = asked()
    with pytest.raises(Http404):
        participant_exit(worker=w.workers[place], run_id=w.run.id, exit_=counted(w.part(place), **told))


def test_job_of_anothers_part_does_not_exist() -> None:
    w, job = asked()
    stranger = make.WorkerFactory(organisation=w.organisations[1])
    with pytest.raises(Http404):
        participant_exit(worker=stranger, run_id=w.run.id, exit_=counted(w.part(0)))
    job.refresh_from_db()
    assert job.outcome == ""
