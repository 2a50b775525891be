"""A base model's layout as workers measure it: stored, planned with, and harmless whatever a worker sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning import ModelShape
from splitcore.planning.shape import MOST_KINDS, MOST_LAYERS, MOST_LINEARS
from webapp.adapters.services.segment_limits import segment_limits
from webapp.fleet.models import WorkerModel
from webapp.fleet.tests.factories import give_key
from webapp.runs.configure.options import party_options
from webapp.runs.configure.preview import Preview, preview_build
from webapp.runs.estimate import largest_message
from webapp.runs.tests import factories as make
from workers.contracts import HEADER_PROTOCOL, SHAPE_SINCE, ModelRegistration

pytestmark = pytest.mark.django_db
BIG = 2**60


def body(**fields: Any) -> dict[str, Any]:
    """A registration of the test model as JSON."""
    return {
        "model_id": make.MODEL,
        "manifest_hash": make.MANIFEST,
        "config": make.CONFIG,
        "parameters": 1,
        "bytes": 1,
        **fields,
    }


def preview_of(w: make.World, **sections: Any) -> Preview:
    config = RunConfig.parse(make.config(**sections))
    return preview_build(w.project, config, party_options(w.project, w.run), [])


def largest_shape() -> dict[str, Any]:
    """As large as the bounds let it be."""
    linears = [{"path": f"a{n}", "inputs": 1 << 12, "outputs": 1 << 12} for n in range(MOST_LINEARS // MOST_KINDS)]
    kind = {"linears": linears, "heads": 1 << 15, "query": 1 << 24, "key": 1 << 24, "inner": 1 << 24}
    order = [place % MOST_KINDS for place in range(MOST_LAYERS)]
    return {**make.SHAPE, "kinds": [kind] * MOST_KINDS, "order": order}


def test_a_measured_layout_is_kept_and_planned_with():
    w = make.world()
    WorkerModel.objects.update(shape=None)
    for worker in w.workers:
        assert give_key(worker).post("models", body(shape=make.SHAPE)).status_code == 200
    [row] = WorkerModel.objects.filter(worker=w.workers[2])
    assert ModelShape.model_validate(row.shape) == ModelShape.model_validate(make.SHAPE)
    preview = preview_of(w)
    assert preview.plan is not None
    rank = RunConfig.parse(make.config()).lora.rank
    assert preview.plan.adapter_parameters == make.LAYERS * rank * (4 * 16 + 3 * 24)


def test_an_older_worker_registers_a_model_without_its_layout_and_the_run_is_made():
    w = make.world()
    WorkerModel.objects.update(shape=make.SHAPE)
    for worker in w.workers:
        signer = give_key(worker)
        raw = json.dumps(body()).encode()
        headers = {**signer.headers("POST", "/api/worker/v1/models", raw), HEADER_PROTOCOL: str(SHAPE_SINCE - 1)}
        assert signer.post_raw("models", raw, headers=headers).status_code == 200
    assert set(WorkerModel.objects.values_list("shape", flat=True)) == {None}
    preview = preview_of(w)
    assert preview.plan is None
    assert len(preview.layers) == make.LAYERS
    assert preview.steps == 4
    assert not preview.problems
    assert any("layout of this base model isn't known" in warning for warning in preview.warnings)
    make.submit(w)
    assert segment_limits(w.run, w.part(0)).tensors > 0


def test_a_layout_that_one_of_the_workers_has_measured_is_enough():
    w = make.world()
    WorkerModel.objects.exclude(worker=w.workers[1]).update(shape=None)
    assert preview_of(w).plan is not None


def test_workers_that_report_different_layouts_are_named_so_and_nothing_is_estimated():
    w = make.world()
    other = {**make.SHAPE, "order": [0] * (make.LAYERS - 1)}
    WorkerModel.objects.filter(worker=w.workers[0]).update(shape=other)
    preview = preview_of(w)
    assert preview.plan is None
    assert any("different layouts" in warning for warning in preview.warnings)
    make.submit(w)


def test_another_version_of_the_model_on_a_worker_does_not_count():
    w = make.world()
    other = {**make.SHAPE, "order": [0] * (make.LAYERS - 1)}
    config = {**make.CONFIG, "num_hidden_layers": make.LAYERS - 1}
    row = body(manifest_hash="b" * 64, config=config, shape=other)
    assert give_key(w.workers[2]).post("models", row).status_code == 200
    preview = preview_of(w)
    assert preview.plan is not None
    assert len(preview.layers) == make.LAYERS


@pytest.mark.parametrize(
    "shape",
    [
        7,
        [],
        {},
        {**make.SHAPE, "order": [0] * (make.LAYERS + 1)},
        {**make.SHAPE, "hidden": make.WIDTH + 1},
        {**make.SHAPE, "hidden": BIG},
        {**make.SHAPE, "order": [0] * (MOST_LAYERS + 1)},
        {**make.SHAPE, "kinds": make.SHAPE["kinds"] * (MOST_KINDS + 1)},
        {**make.SHAPE, "head_ends": -1},
        {**make.SHAPE, "surprise": 1},
        {**make.SHAPE, "layers_path": "<script>alert(1)</script>"},
        {**make.SHAPE, "output_head": {"path": "lm_head", "inputs": BIG, "outputs": BIG}},
        {**make.SHAPE, "kinds": [{"linears": [{"path": "a<b", "inputs": 1, "outputs": 1}]}]},
        {**make.SHAPE, "kinds": [{"linears": [{"path": "a", "inputs": 1, "outputs": 1}] * (MOST_LINEARS + 1)}]},
    ],
)
def test_a_layout_that_nobody_can_plan_with_is_refused_and_what_stood_there_stays(shape):
    w = make.world()
    answer = give_key(w.workers[2]).post("models", body(shape=shape))
    assert (answer.status_code, answer.json()["code"]) == (422, "CL-1415")
    assert b"script" not in answer.content
    assert WorkerModel.objects.get(worker=w.workers[2]).shape == make.SHAPE


def test_a_layout_of_too_many_bytes_is_refused():
    w = make.world()
    linears = [{"path": "a" * 100, "inputs": 1, "outputs": 1}] * MOST_LINEARS
    answer = give_key(w.workers[2]).post("models", body(shape={**make.SHAPE, "kinds": [{"linears": linears}]}))
    assert answer.json()["code"] == "CL-1802"


def test_the_largest_layout_breaks_no_page_of_another_organisation(client):
    w = make.world()
    config = {**make.CONFIG, "num_hidden_layers": MOST_LAYERS}
    row = body(config=config, shape=largest_shape())
    assert len(ModelRegistration.model_validate(row).shape.model_dump_json()) > 1 << 16, "the hub's own limit is lower"
    WorkerModel.objects.update(config=config, shape=largest_shape())
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/runs/new?project={w.project.id}").status_code == 200
    assert client.get(f"/runs/{w.run.id}/edit").status_code == 200
    preview = preview_of(w, lora={"target_modules": [f"{n}.a{n}" for n in range(50)]})
    assert preview.plan is not None
    make.submit(w)
    assert segment_limits(w.run, w.part(0)).bytes > 0


def test_what_another_version_of_the_hub_has_stored_is_unknown(client):
    w = make.world()
    WorkerModel.objects.update(shape={"of": "tomorrow"})
    assert preview_of(w).plan is None
    client.force_login(w.engineer, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/runs/{w.run.id}/edit").status_code == 200


def test_target_modules_that_the_model_does_not_have_are_refused_where_its_layout_is_known():
    w = make.world(run_config=make.config(lora={"target_modules": ["q_proj", "foo"]}))
    with pytest.raises(AppError, match="The base model has no foo") as caught:
        make.submit(w)
    assert caught.value.code == "CL-1105"
    WorkerModel.objects.update(shape=None)
    make.submit(w)


def test_the_largest_message_is_the_measured_adapter():
    shape = ModelShape.model_validate(make.SHAPE)
    lora = {"rank": 1024, "target_modules": ["q_proj"]}
    config = RunConfig.parse(make.config(lora=lora, split={"head_layers": 1, "tail_layers": 2}))
    adapter = 3 * 1024 * (8 + 8) * 4
    assert largest_message(config, shape, {}, 1) == adapter * 1.25 + (1 << 20)


@pytest.mark.django_db(transaction=True)
def test_the_layout_comes_and_goes_with_its_migration():
    latest = MigrationExecutor(connection).loader.graph.leaf_nodes()
    w = make.world()
    try:
        executor = MigrationExecutor(connection)
        executor.migrate([("fleet", "0003_worker_copied_at")])
        old = executor.loader.project_state([("fleet", "0003_worker_copied_at")]).apps
        rows = old.get_model("fleet", "WorkerModel").objects.all()
        assert {row.config["model_type"] for row in rows} == {"llama"}
    finally:
        MigrationExecutor(connection).migrate(latest)
    assert set(WorkerModel.objects.values_list("shape", flat=True)) == {None}
    assert give_key(w.workers[0]).post("models", body(shape=make.SHAPE)).status_code == 200
