"""The time on the configure page: an estimate from the workers' own measurements, then a figure from a finished run."""

from __future__ import annotations

import pytest
from django.utils import timezone

from splitcore.config import RunConfig
from splitcore.planning import ModelShape, SpeedBounds, Speeds
from webapp.fleet.models import WorkerModel
from webapp.runs.configure.estimating import estimate_of
from webapp.runs.configure.options import party_options
from webapp.runs.configure.preview import Preview, preview_build
from webapp.runs.configure.speeds import known_speeds, row_lengths
from webapp.runs.models import RunState
from webapp.runs.services import PartyChoice
from webapp.runs.tests import factories as make

pytestmark = pytest.mark.django_db
LANE = {"compute_s": 0.02, "send_s": 0.001, "bytes_up": 4_000_000, "seen_tokens": 128}


def tell_speed(w: make.World, *places: int, **facts: object) -> None:
    for place in places:
        w.workers[place].facts = {"speed": {"device": "cpu", "float32": 5e10, "bfloat16": 0.0}, **facts}
        w.workers[place].save()


def preview_of(w: make.World) -> Preview:
    return preview_build(w.project, RunConfig.parse(w.run.config), party_options(w.project, w.run), [])


def finish(w: make.World) -> None:
    """The run ends, with what each part measured."""
    for part in w.run.participants.all():
        part.metrics, part.step = LANE, 4
        part.save()
    run = w.fresh()
    run.state, run.ended_at = RunState.DONE, timezone.now()
    run.save()


def test_before_any_run_the_time_is_an_estimate_from_the_workers_own_speeds():
    w = make.world()
    tell_speed(w, 0, 1, 2)
    preview = preview_of(w)
    assert preview.speeds is not None
    assert preview.plan is not None
    assert isinstance(preview.speeds.speeds, SpeedBounds)
    assert not preview.speeds.measured
    assert "20 Mbit/s" in preview.speeds.source
    assert preview.plan.run_time is not None
    assert preview.plan.run_time.high > 3 * preview.plan.run_time.low


def test_a_worker_that_has_not_measured_itself_is_named():
    w = make.world()
    tell_speed(w, 0, 2)
    preview = preview_of(w)
    assert preview.speeds is not None
    assert preview.plan is not None
    assert preview.plan.run_time is None
    assert preview.speeds.source.startswith(w.workers[1].name)


def test_after_a_finished_run_the_time_is_measured_and_its_range_is_narrower():
    w = make.world()
    tell_speed(w, 0, 1, 2)
    before = preview_of(w)
    finish(w)
    after = preview_of(w)
    assert after.speeds is not None
    assert after.speeds.measured
    assert isinstance(after.speeds.speeds, Speeds)
    assert before.plan is not None
    assert after.plan is not None
    widths = [p.plan.run_time.high / p.plan.run_time.low for p in (before, after) if p.plan and p.plan.run_time]
    assert widths[1] < widths[0]


def test_a_run_with_another_model_still_tells_the_network():
    w = make.world()
    tell_speed(w, 0, 1, 2)
    finish(w)
    other = RunConfig.parse(make.config(model={"name_or_path": "acme/other"}))
    shape = ModelShape.model_validate(make.SHAPE)
    workers = {worker.id: worker for worker in w.workers}
    known = known_speeds(other, shape, party_options(w.project, w.run).choices(), workers)
    assert isinstance(known.speeds, SpeedBounds)
    assert known.speeds.best.link == known.speeds.worst.link
    assert "assumed" not in known.source


def test_a_server_s_run_with_other_partners_or_another_model_is_not_called_measured():
    w = make.world()
    tell_speed(w, 0, 1, 2)
    finish(w)
    w.run.participants.filter(worker=w.workers[1]).update(worker=make.WorkerFactory(organisation=w.organisations[1]))
    workers = {worker.id: worker for worker in w.workers}
    wanted = [
        PartyChoice("client", one.id, version.id, True) for one, version in zip(w.workers, w.versions, strict=False)
    ]
    wanted.append(PartyChoice("server", w.workers[2].id, "", False))
    shape = ModelShape.model_validate(make.SHAPE)
    known = known_speeds(RunConfig.parse(w.run.config), shape, wanted, workers)
    assert not known.measured
    assert known.source.startswith("An estimate")


def test_a_run_whose_server_was_not_measured_is_not_called_measured():
    w = make.world()
    tell_speed(w, 0, 1, 2)
    finish(w)
    w.run.participants.filter(worker=w.workers[2]).update(metrics={})
    preview = preview_of(w)
    assert preview.speeds is not None
    assert not preview.speeds.measured


def test_the_base_model_has_the_weights_that_were_counted_at_its_registration():
    w = make.world()
    WorkerModel.objects.update(parameters=3_837_120)
    preview = preview_of(w)
    assert preview.model is not None
    assert preview.model.parameters == 3_837_120
    choices = party_options(w.project, w.run).choices()
    plan = estimate_of(w.project, w.run.config, choices)["plan"]
    assert plan["base_parameters"] == 3_837_120


def test_the_lengths_of_rows_come_from_the_histograms_that_the_sites_share():
    w = make.world()
    assert row_lengths(w.versions) is None
    for version in w.versions:
        version.metadata = {"token_lengths": {"edges": [0, 10, 20, 40], "counts": [60, 36, 4]}}
    assert row_lengths(w.versions) == (10, 20)
