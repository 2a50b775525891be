"""A shape that somebody else sends: whatever it says, it is refused, or planned with and without an error."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.planning import ModelShape, estimate, missing_targets, prior_speeds
from splitcore.planning.shape import MOST_KINDS, MOST_LAYERS, MOST_LINEARS, contradiction

LINEAR = {"path": "mlp.up_proj", "inputs": 8, "outputs": 32}
LAYER: dict[str, Any] = {"linears": [LINEAR], "other": 16, "heads": 2, "query": 8, "key": 8, "inner": 32}
SHAPE: dict[str, Any] = {
    "hidden": 8,
    "kinds": [LAYER],
    "order": [0] * 6,
    "layers_path": "model.layers",
    "output_head": {"path": "lm_head", "inputs": 8, "outputs": 100},
    "head_ends": 800,
    "body_ends": 0,
    "output_ends": 808,
}
HUGE = 1 << 62


def changed(layer: dict[str, Any] | None = None, linear: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {**SHAPE, "kinds": [{**LAYER, "linears": [{**LINEAR, **(linear or {})}], **(layer or {})}], **fields}


@pytest.mark.parametrize(
    "shape",
    [
        changed(order=[]),
        changed(order=[0] * (MOST_LAYERS + 1)),
        changed(order=[0, 1]),
        changed(order=[-1]),
        changed(kinds=[]),
        changed(kinds=[LAYER] * (MOST_KINDS + 1)),
        changed({"linears": [LINEAR] * (MOST_LINEARS + 1)}),
        changed(kinds=[{**LAYER, "linears": [LINEAR] * (MOST_LINEARS // 2 + 1)}] * 2),
        changed({"expert_adapters": [LINEAR] * 17}),
        changed({"experts": 1, "active_experts": 2}),
        changed({"other": HUGE}),
        changed({"other": -1}),
        changed({"heads": HUGE}),
        changed({"inner": 1.5}),
        changed({"query": float("nan")}),
        changed(linear={"inputs": 0}),
        changed(linear={"outputs": HUGE}),
        changed(linear={"ranks": HUGE}),
        changed(linear={"path": "<script>alert(1)</script>"}),
        changed(linear={"path": "a" * 200}),
        changed(linear={"path": "a\nb"}),
        changed(linear={"path": ""}),
        changed(linear={"surprise": 1}),
        changed(hidden=0),
        changed(hidden=HUGE),
        changed(shared_ends=900),
        changed(order=[0] * MOST_LAYERS, layer={"other": 1 << 45}),
        changed(dtype="float8"),
        changed(layers_path="model/../layers"),
        changed(surprise=1),
    ],
)
def test_a_shape_out_of_bounds_is_refused(shape: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ModelShape.model_validate(shape)


def test_the_largest_shape_within_bounds_is_planned_with() -> None:
    """Every kind of layer, each as large as the bounds let it be together, with many parties and many targets."""
    each = MOST_LINEARS // MOST_KINDS
    linears = [{"path": f"part.{'a' * 100}{n}", "inputs": 1 << 12, "outputs": 1 << 12} for n in range(each)]
    kinds = [{**LAYER, "linears": linears, "heads": 1 << 15, "query": 1 << 24, "key": 1 << 24, "inner": 1 << 24}]
    ends = dict.fromkeys(("head_ends", "body_ends", "output_ends"), 1 << 48)
    order = [place % MOST_KINDS for place in range(MOST_LAYERS)]
    shape = ModelShape.model_validate(changed(kinds=kinds * MOST_KINDS, order=order, hidden=1 << 24, **ends))
    targets = [*(f"model.layers.{place}.{'b' * 90}" for place in range(60)), "part"]
    config = RunConfig.parse({"model": {"name_or_path": "a/b"}, "lora": {"target_modules": targets}})
    plan = estimate(config, shape, 20, speeds=prior_speeds(shape, client=1e9, server=1e9))
    assert missing_targets(shape, targets)
    assert plan.adapter_parameters == 0
    assert plan.time.total is not None
    assert plan.time.total.high < float("inf")


@pytest.mark.parametrize("layers", [1, 2])
def test_a_model_of_too_few_layers_is_the_codes_matter(layers: int) -> None:
    shape = ModelShape.model_validate(changed(order=[0] * layers))
    with pytest.raises(AppError, match="CL-1002"):
        estimate(RunConfig.parse({"model": {"name_or_path": "a/b"}}), shape)


@pytest.mark.parametrize(
    ("config", "agrees"),
    [
        ({}, True),
        ({"num_hidden_layers": 6, "hidden_size": 8}, True),
        ({"n_layer": 6, "n_embd": 8}, True),
        ({"text_config": {"num_hidden_layers": 6}}, True),
        ({"encoder_layers": 4, "num_hidden_layers": 4, "decoder_layers": 6}, True),
        ({"num_hidden_layers": 7}, False),
        ({"hidden_size": 16}, False),
        ({"text_config": {"num_hidden_layers": 5}}, False),
        ({"num_hidden_layers": "6", "hidden_size": 0, "text_config": 7}, False),
    ],
)
def test_a_shape_must_not_contradict_the_configuration(config: dict[str, Any], agrees: bool) -> None:
    assert (contradiction(ModelShape.model_validate(SHAPE), config) == "") is agrees
