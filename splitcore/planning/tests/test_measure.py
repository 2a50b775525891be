"""What is measured without weights is what real models, carved and adapted as in a run, really hold; for every type."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from splitcore.adapters.lora import adapter_layout, adapter_parameters, place
from splitcore.config import LoraSection, ModelSection, RunConfig
from splitcore.errors import AppError
from splitcore.models.carve import carve, causal_config, find_layers, layer_count, stock_class
from splitcore.models.loading import load_segment
from splitcore.models.plan import SegmentPlan, segment_plans
from splitcore.models.slots import Port
from splitcore.models.tests.configurations import configuration
from splitcore.models.tests.tiny import FAMILIES, save_model
from splitcore.models.twin import build_twin, measured_arity, quiet_library
from splitcore.models.types import EXACT
from splitcore.planning.measure import measure, measure_folder
from splitcore.planning.segments import segments_of
from splitcore.planning.shape import ModelShape, contradiction
from splitcore.training.halves import share_embedding

LORA = LoraSection(rank=3, alpha=4)
SEVERAL_KINDS = ("gemma4_text", "jamba", "lfm2_moe")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def held(*models: nn.Module) -> int:
    """Weights in memory, those that several models share once."""
    storages = {p.data_ptr(): p.numel() for model in models for p in model.parameters()}
    return sum(storages.values())


def expected(shape: ModelShape, *plans: SegmentPlan) -> int:
    """The same as the shape has it, for the segments of one party."""
    layers = sum(
        kind.parameters * times for plan in plans for kind, times in shape.counted(range(plan.start, plan.end))
    )
    ends = [shape.head_ends if p.embedding else shape.output_ends if p.output else shape.body_ends for p in plans]
    return layers + sum(ends) - (shape.shared_ends if len(plans) > 1 else 0)


def carved(twin: PreTrainedModel, plan: SegmentPlan, arity: int) -> PreTrainedModel:
    model = copy.deepcopy(twin)
    carve(model, plan, Port(), arity)
    return model


@pytest.mark.parametrize("model_type", sorted(EXACT))
def test_weights_and_adapter_are_those_of_the_carved_model(model_type: str) -> None:
    twin = build_twin(configuration(model_type))
    shape, total = measure(twin.config), layer_count(twin.config)
    layout, arity = adapter_layout(twin.config, LORA), measured_arity(twin)
    sections = {"model": {"name_or_path": "a/b"}, "split": {"head_layers": 1, "tail_layers": 1}, "lora": {"rank": 3}}
    cut = segments_of(RunConfig.parse(sections), shape)
    plans = segment_plans("u_shape", 1, 1, total)
    adapters = {}
    for plan in (*plans.values(), segment_plans("vanilla", 1, 0, total)["body"]):
        model = carved(twin, plan, arity)
        assert sum(p.numel() for p in model.parameters()) == expected(shape, plan), plan
        found = [torch.Size(size).numel() for name, size in layout.shapes.items() if layout.held_by(name, plan)]
        assert sum(found) == sum(
            linear.adapter_parameters(3) * times
            for linear, times in shape.adapted("all-linear", range(plan.start, plan.end))
        )
        adapters[plan.role, plan.output] = found
    assert cut.client_adapter == sum(adapters["head", False]) + sum(adapters["tail", True])
    assert cut.client_matrices == len(adapters["head", False]) + len(adapters["tail", True])
    assert cut.body_adapter == sum(adapters["body", False])
    assert ModelShape.model_validate_json(shape.model_dump_json()) == shape
    assert contradiction(shape, json.loads(twin.config.to_json_string())) == ""


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_those_that_a_run_loads(family: str, tmp_path: Path) -> None:
    folder = save_model(tmp_path, family)
    shape = measure_folder(folder)
    plans = segment_plans("u_shape", 1, 1, shape.layers)
    head, body, tail = (load_segment(folder, plans[role], ModelSection(name_or_path="a/b")) for role in plans)
    share_embedding(head, tail)
    assert held(head.model, tail.model) == expected(shape, plans["head"], plans["tail"])
    assert held(body.model) == expected(shape, plans["body"])
    layout = adapter_layout(head.model.config, LORA)
    for segment, plan in zip((head, body, tail), plans.values(), strict=True):
        place(segment.model, layout, LORA)
        assert sum(parameter.numel() for _, parameter in adapter_parameters(segment.model)) == sum(
            linear.adapter_parameters(3) * times
            for linear, times in shape.adapted("all-linear", range(plan.start, plan.end))
        )


@pytest.mark.parametrize("model_type", SEVERAL_KINDS)
def test_each_layer_of_a_full_model_is_counted_as_what_it_is(model_type: str) -> None:
    config = causal_config(configuration(model_type))
    shape = measure(config)
    with quiet_library(), torch.device("meta"):
        _, layers = find_layers(stock_class(config)(config), layer_count(config))
    assert len(shape.kinds) > 1
    assert [shape.kinds[kind].parameters for kind in shape.order] == [
        sum(parameter.numel() for parameter in layer.parameters()) for layer in layers
    ]


@pytest.mark.parametrize("model_type", ["llama", "gpt2", "opt", "bamba", "mixtral"])
def test_a_target_names_the_same_modules_as_in_the_adapter(model_type: str) -> None:
    twin = build_twin(configuration(model_type))
    shape = measure(twin.config)
    path, layers = find_layers(twin, layer_count(twin.config))
    names = [name for name, module in layers[2].named_modules() if isinstance(module, (nn.Linear, Conv1D))]
    last = names[-1].rpartition(".")[2]
    for targets in ([last], [names[0]], [f"{path}.2.{names[0]}"], [f"2.{names[0]}", names[-1]]):
        lora = LoraSection(rank=3, alpha=4, target_modules=targets)
        real = sum(torch.Size(size).numel() for size in adapter_layout(twin.config, lora).shapes.values())
        adapted = shape.adapted(targets, range(shape.layers))
        assert sum(linear.adapter_parameters(3) * times for linear, times in adapted) == real, targets
        assert shape.missing(targets) == []
    assert shape.missing([f"{path}.{shape.layers}.{names[0]}", "nothing"]) == [
        f"{path}.{shape.layers}.{names[0]}",
        "nothing",
    ]


def test_an_adapter_on_the_output_head_is_the_tails_or_the_last_bodys() -> None:
    shape = measure(build_twin(configuration("llama")).config)
    sections = {"model": {"name_or_path": "a/b"}, "lora": {"rank": 2, "target_modules": ["q_proj", "lm_head"]}}
    inner = 2 * (shape.hidden + 256)
    head = 2 * (shape.hidden + shape.vocabulary)
    u_shape = segments_of(RunConfig.parse({**sections, "split": {"head_layers": 1, "tail_layers": 1}}), shape)
    assert (u_shape.client_adapter, u_shape.body_adapter) == (2 * inner + head, 2 * inner)
    vanilla = {"topology": "vanilla", "head_layers": 1, "tail_layers": 0}
    split = segments_of(RunConfig.parse({**sections, "split": vanilla}), shape)
    assert (split.client_adapter, split.body_adapter) == (inner, 3 * inner + head)


def test_what_cannot_be_built_is_refused_with_a_code(tmp_path: Path) -> None:
    for wrong in (
        {"model_type": "llama", "num_hidden_layers": 5000},
        {"model_type": "llama", "hidden_size": 10, "num_attention_heads": 0},
        {"model_type": "never_seen"},
        {"model_type": "t5"},
    ):
        (tmp_path / "config.json").write_text(json.dumps(wrong))
        with pytest.raises(AppError, match="CL-110"):
            measure_folder(tmp_path)
