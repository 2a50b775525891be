"""The flat example trains as the product does."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

import splitcore
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config

EXAMPLE = Path(__file__).parents[3] / "examples" / "split_loop.py"


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_the_flat_loop_gives_the_losses_of_a_real_run(
    model: Callable[[str], Path], tmp_path: Path, family: str
) -> None:
    config = run_config(model(family))
    ours = runpy.run_path(str(EXAMPLE))["train"](config, rows(10))
    result = splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path)
    assert ours == result.train_losses["a"]
    assert ours[-1] < ours[0]


def test_the_example_stays_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) < 100
