"""A split run equals the unsplit one to the last bit: losses, evaluations and every number of the adapter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import splitcore
from splitcore import RunResult
from splitcore.adapters.lora import adapter_layout, adapter_parameters, place
from splitcore.models.loading import load_segment, read_config
from splitcore.models.plan import segment_plans
from splitcore.models.tests.tiny import FAMILIES, LAYERS, rows
from splitcore.training.tests.conftest import STEPS, Unsplit, run_config

Model = Callable[[str], Path]
ADAPTER = "adapter_model.safetensors"


def assert_equal_runs(split: RunResult, out: Path, unsplit: tuple[RunResult, Path]) -> None:
    """Difference 0.0 in everything."""
    whole, whole_out = unsplit
    assert len(split.train_losses["a"]) == STEPS
    assert split.train_losses == whole.train_losses
    assert split.eval_losses == whole.eval_losses
    assert [step for step, _ in split.eval_losses] == [0, 10, 20]
    for folder in ("initial_adapter", "adapter"):
        ours, theirs = load_file(out / folder / ADAPTER), load_file(whole_out / folder / ADAPTER)
        assert ours.keys() == theirs.keys()
        assert max(float((ours[name] - theirs[name]).abs().max()) for name in ours) == 0.0
    initial, final = load_file(out / "initial_adapter" / ADAPTER), load_file(out / "adapter" / ADAPTER)
    assert any(not torch.equal(initial[name], final[name]) for name in initial)


@pytest.mark.parametrize("micro_batches", [1, 4])
@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
@pytest.mark.parametrize("family", FAMILIES)
def test_split_in_memory_equals_unsplit(
    family: str, topology: str, micro_batches: int, model: Model, unsplit: Unsplit, tmp_path: Path
) -> None:
    config = run_config(model(family), split={"topology": topology}, training={"micro_batches": micro_batches})
    result = splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path, eval_rows=rows(3))
    assert_equal_runs(result, tmp_path, unsplit(family, micro_batches))
    assert result.bytes["uplink"] > 0
    assert result.bytes["downlink"] > 0


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_a_quantised_base_trains_the_same_split_and_unsplit(scheme: str, model: Model, tmp_path: Path) -> None:
    config = run_config(
        model("llama"), model={"quantisation": scheme}, training={"steps": 3, "gradient_checkpointing": True}
    )
    split = splitcore.fine_tune(config, {"a": rows(6)}, out=tmp_path / "split")
    whole = splitcore.fine_tune_unsplit(config, {"a": rows(6)}, out=tmp_path / "whole")
    assert split.train_losses == whole.train_losses
    ours, theirs = (load_file(tmp_path / name / "adapter" / ADAPTER) for name in ("split", "whole"))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.integration
@pytest.mark.parametrize("micro_batches", [1, 4])
@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
@pytest.mark.parametrize("family", FAMILIES)
def test_split_over_grpc_processes_equals_unsplit(
    family: str, topology: str, micro_batches: int, model: Model, unsplit: Unsplit, tmp_path: Path
) -> None:
    config = run_config(model(family), split={"topology": topology}, training={"micro_batches": micro_batches})
    result = splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path, eval_rows=rows(3), transport="grpc")
    assert_equal_runs(result, tmp_path, unsplit(family, micro_batches))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_joined_adapter_on_the_unsplit_model_gives_the_split_logits(
    family: str, model: Model, tmp_path: Path
) -> None:
    folder = model(family)
    config = run_config(folder, training={"steps": 3})
    splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path)
    ids_BL = torch.randint(3, 250, (2, 9), generator=torch.Generator().manual_seed(0))
    mask_BL = torch.ones_like(ids_BL)
    mask_BL[1, 6:] = 0
    layout = adapter_layout(read_config(folder), config.lora)
    hidden_BLD = None
    with torch.no_grad():
        for role, plan in segment_plans("u_shape", 1, 2, LAYERS).items():
            segment = load_segment(folder, plan, config.model)
            place(segment.model, layout, config.lora)
            party = "server" if role == "body" else "a"
            trained = load_file(tmp_path / "segments" / party / role / ADAPTER)
            for name, parameter in adapter_parameters(segment.model):
                parameter.copy_(trained[f"base_model.model.{name}"])
            hidden_BLD = segment(mask_BL, ids_BL=ids_BL if role == "head" else None, hidden_BLD=hidden_BLD)
        base = AutoModelForCausalLM.from_pretrained(folder).eval()
        joined = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
        whole_BLV = joined(input_ids=ids_BL, attention_mask=mask_BL, use_cache=False).logits
    assert torch.equal(whole_BLV, hidden_BLD)


def test_the_initial_adapter_does_not_depend_on_the_cut(model: Model, tmp_path: Path) -> None:
    cuts = [("u_shape", 1, 2), ("u_shape", 2, 1), ("u_shape", 0, 0), ("vanilla", 3, 0)]
    initial = []
    for number, (topology, head, tail) in enumerate(cuts):
        split = {"topology": topology, "head_layers": head, "tail_layers": tail}
        out = tmp_path / str(number)
        splitcore.fine_tune(run_config(model("llama"), split=split, training={"steps": 1}), {"a": rows(4)}, out=out)
        initial.append(load_file(out / "initial_adapter" / ADAPTER))
    assert all(other.keys() == initial[0].keys() for other in initial)
    assert all(torch.equal(other[name], initial[0][name]) for other in initial for name in other)
    assert any(value.abs().sum() for value in initial[0].values())
