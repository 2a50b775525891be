"""Fifty AdamW steps over real processes, with everything on: the same bits as the run that is not split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import splitcore
from splitcore import RunConfig, RunResult
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
ROWS, HELD_OUT = rows(24), rows(4, word="other")
TRAINING = {
    "steps": 50,
    "micro_batches": 4,
    "batch_size": 8,
    "learning_rate": 2e-3,
    "weight_decay": 0.1,
    "warmup": 10,
    "schedule": "cosine",
    "clip_norm": 0.3,
    "eval_every": 25,
}


def fifty(folder: Path, **changes: Any) -> RunConfig:
    training = {**TRAINING, **changes.pop("training", {})}
    return run_config(folder, training=training, **changes)


def unsplit(config: RunConfig, out: Path, data: list[dict[str, Any]] = ROWS) -> RunResult:
    return splitcore.fine_tune_unsplit(config, {"a": data}, out=out, eval_rows=HELD_OUT)


def over_grpc(config: RunConfig, out: Path) -> RunResult:
    return splitcore.fine_tune(config, {"a": ROWS}, out=out, eval_rows=HELD_OUT, transport="grpc")


def adapter(out: Path) -> dict[str, torch.Tensor]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def furthest(ours: Path, theirs: Path) -> float:
    """The largest difference between two adapters."""
    a, b = adapter(ours), adapter(theirs)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.mark.integration
def test_fp32_has_the_bits_of_the_unsplit_run_and_is_near_one_full_batch(model: Model, tmp_path: Path) -> None:
    config = fifty(model("qwen3"))
    whole = unsplit(config, tmp_path / "whole")
    for name in ("held", "recomputed"):
        recomputes = {"gradient_checkpointing": name == "recomputed"}
        split = over_grpc(fifty(model("qwen3"), training=recomputes), tmp_path / name)
        assert len(split.train_losses["a"]) == 50
        assert split.train_losses == whole.train_losses
        assert split.eval_losses == whole.eval_losses
        assert furthest(tmp_path / name, tmp_path / "whole") == 0.0
    assert whole.eval_losses[-1][1] < whole.eval_losses[0][1]

    full = unsplit(fifty(model("qwen3"), training={"micro_batches": 1}), tmp_path / "full")
    losses = zip(whole.train_losses["a"], full.train_losses["a"], strict=True)
    assert max(abs(ours - theirs) for ours, theirs in losses) < 1e-4
    assert furthest(tmp_path / "held", tmp_path / "full") < 1e-4


@pytest.mark.integration
def test_bf16_is_nearer_to_the_unsplit_run_than_another_order_of_rows_is(model: Model, tmp_path: Path) -> None:
    config = fifty(model("llama"), model={"dtype": "bfloat16"}, wire={"activations": "bf16", "gradients": "bf16"})
    split = over_grpc(config, tmp_path / "split")
    whole = unsplit(config, tmp_path / "whole")
    other = unsplit(config, tmp_path / "other", ROWS[::-1])
    noise = abs(whole.eval_losses[-1][1] - other.eval_losses[-1][1])
    assert noise > 0
    assert abs(split.eval_losses[-1][1] - whole.eval_losses[-1][1]) <= noise
    assert furthest(tmp_path / "split", tmp_path / "whole") <= furthest(tmp_path / "whole", tmp_path / "other")
