"""What crosses the cut: padding left out, and low-bit formats that repeat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from splitcore.caches.tests.conversation import LOW_BIT, Model, assert_same, trained
from splitcore.training.tests.conftest import run_config


def test_leaving_padding_out_changes_no_bit(model: Model, tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", run_config(model("llama")))
    short = trained(tmp_path / "short", run_config(model("llama"), wire={"skip_padding": True}))
    assert_same(whole, short)
    assert short[0].bytes["uplink"] < whole[0].bytes["uplink"]


@pytest.mark.parametrize("more", [{}, {"changes": "ternary", "cache_on": "disk"}])
def test_a_repeated_low_bit_run_gives_the_same_bits(model: Model, tmp_path: Path, more: dict[str, Any]) -> None:
    config = run_config(model("llama"), wire={**LOW_BIT, **more}, training={"micro_batches": 2})
    assert_same(trained(tmp_path / "1", config), trained(tmp_path / "2", config))
