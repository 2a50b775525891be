"""Recomputing a layer's activations instead of holding them changes no bit, dropout included, and is really done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import splitcore
from splitcore.adapters.lora import adapter_layout, initialise, place
from splitcore.models.carve import find_layers
from splitcore.models.loading import load_segment, read_config
from splitcore.models.plan import segment_plans
from splitcore.models.slots import Slot
from splitcore.models.tests.tiny import LAYERS, rows
from splitcore.run.plan import run_plan
from splitcore.run.settings import HalfSettings
from splitcore.training import halves
from splitcore.training.tests.conftest import run_config

ADAPTER = "adapter/adapter_model.safetensors"


def train(folder: Path, out: Path, *, recompute: bool, topology: str, dropout: float) -> tuple[Any, dict[str, Any]]:
    config = run_config(
        folder,
        split={"topology": topology, "head_layers": 2, "tail_layers": 1},
        lora={"dropout": dropout},
        training={"steps": 3, "micro_batches": 2, "gradient_checkpointing": recompute},
    )
    result = splitcore.fine_tune(config, {"a": rows(6), "b": rows(6, word="b")}, out=out, eval_rows=rows(3))
    return result, load_file(out / ADAPTER)


@pytest.mark.parametrize(("family", "topology"), [("llama", "u_shape"), ("gpt2", "u_shape"), ("gemma3", "vanilla")])
def test_recomputing_changes_no_bit(family: str, topology: str, model: Callable[[str], Path], tmp_path: Path) -> None:
    held, recomputed = (
        train(model(family), tmp_path / str(number), recompute=bool(number), topology=topology, dropout=0.2)
        for number in (0, 1)
    )
    assert held[0].train_losses == recomputed[0].train_losses
    assert held[0].eval_losses == recomputed[0].eval_losses
    assert all(torch.equal(held[1][name], recomputed[1][name]) for name in held[1])


def test_the_unsplit_run_recomputes_to_the_same_bits(model: Callable[[str], Path], tmp_path: Path) -> None:
    adapters = []
    for recompute in (False, True):
        training = {"steps": 3, "gradient_checkpointing": recompute}
        out = tmp_path / str(recompute)
        splitcore.fine_tune_unsplit(run_config(model("llama"), training=training), {"a": rows(6)}, out=out)
        adapters.append(load_file(out / ADAPTER))
    assert all(torch.equal(adapters[0][name], adapters[1][name]) for name in adapters[0])


@pytest.mark.parametrize("role", ["head", "body", "tail"])
def test_a_layer_holds_its_input_alone_and_runs_again(role: str, model: Callable[[str], Path]) -> None:
    config = run_config(model("llama"))
    segment = load_segment(model("llama"), segment_plans("u_shape", 2, 1, LAYERS)[role], config.model)
    place(segment.model, adapter_layout(read_config(model("llama")), config.lora), config.lora)
    initialise(segment.model, 0)
    layers = [layer for layer in find_layers(segment.model, LAYERS)[1] if not isinstance(layer, Slot)]
    runs: list[int] = []
    for layer in layers:
        layer.mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    ids_BL, mask_BL = torch.ones(2, 7, dtype=torch.long), torch.ones(2, 7, dtype=torch.long)

    def held_bytes() -> int:
        """Bytes that autograd keeps of one forward, which is then run backward."""
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        hidden_BLD = None if role == "head" else torch.randn(2, 7, 16).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = segment(mask_BL, ids_BL=ids_BL if role == "head" else None, hidden_BLD=hidden_BLD)
        out.sum().backward()
        return sum(kept.values())

    held = held_bytes()
    assert len(runs) == len(layers)
    runs.clear()
    segment.recompute(draws=False)
    assert held_bytes() < held
    assert len(runs) == 2 * len(layers)
    with torch.no_grad():
        segment(mask_BL, ids_BL=ids_BL if role == "head" else None, hidden_BLD=torch.randn(2, 7, 16))
    assert len(runs) == 3 * len(layers)


@pytest.mark.parametrize(
    ("parties", "recompute", "much", "mapped"),
    [(2, False, False, False), (2, False, True, True), (1, False, True, False), (1, True, False, True)],
)
def test_large_tensors_are_mapped_by_themselves_only_where_much_could_be_pinned(
    parties: int,
    recompute: bool,
    much: bool,
    mapped: bool,
    model: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[bool] = []
    monkeypatch.setattr(halves, "return_large_blocks", lambda: called.append(True))
    if much:
        monkeypatch.setattr(halves, "PINNING_BYTES", 0)
    folder = model("llama")
    config = run_config(folder, training={"gradient_checkpointing": recompute})
    names = [f"p{number}" for number in range(parties)]
    settings = HalfSettings(config=config, parties=names, model_source=folder, out=tmp_path, device="cpu")
    plan = run_plan(settings)
    halves.load_with_adapter(plan, "body", plan.layout(config.lora), config.lora)
    assert bool(called) is mapped
