"""What the training tests share: one thread, models that are saved once, the unsplit run of each case."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore import RunConfig, RunResult
from splitcore.models.tests.tiny import rows, save_model

Unsplit = Callable[[str, int], tuple[RunResult, Path]]
STEPS = 20


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Equal to the last bit needs equal sums, so an equal number of threads."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model of a family."""
    saved: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in saved:
            saved[family] = save_model(tmp_path_factory.mktemp("models") / family, family)
        return saved[family]

    return get


def run_config(folder: Path, **changes: Any) -> RunConfig:
    """Twenty AdamW steps with clipping on an fp32 wire; sections in `changes` are merged."""
    sections: dict[str, Any] = {
        "model": {"name_or_path": str(folder)},
        "split": {"head_layers": 1, "tail_layers": 2},
        "lora": {"rank": 2, "alpha": 4},
        "training": {
            "steps": STEPS,
            "batch_size": 4,
            "learning_rate": 5e-3,
            "clip_norm": 0.3,
            "max_length": 32,
            "eval_every": 10,
        },
        "wire": {"activations": "fp32", "gradients": "fp32"},
    }
    for name, fields in changes.items():
        sections[name] = {**sections.get(name, {}), **fields}
    return RunConfig.parse(sections)


@pytest.fixture(scope="session")
def unsplit(model: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Unsplit:
    """The unsplit run of a family with so many micro-batches, made once."""
    made: dict[tuple[str, int], tuple[RunResult, Path]] = {}

    def get(family: str, micro_batches: int) -> tuple[RunResult, Path]:
        key = family, micro_batches
        if key not in made:
            out = tmp_path_factory.mktemp("unsplit")
            config = run_config(model(family), training={"micro_batches": micro_batches})
            made[key] = splitcore.fine_tune_unsplit(config, {"a": rows(10)}, out=out, eval_rows=rows(3)), out
        return made[key]

    return get
