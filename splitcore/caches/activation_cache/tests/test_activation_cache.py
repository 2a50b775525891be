"""A frozen head's rows cross once, to the same adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import splitcore
from splitcore.adapters.verify import verify_loads
from splitcore.boundary.stages import At
from splitcore.caches.tests.conversation import Ends, Model, assert_same, trained
from splitcore.config import RunConfig
from splitcore.control.clock import Clock
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.step.stages import boundary_of
from splitcore.training.tests.conftest import run_config


@pytest.mark.parametrize("micro_batches", [1, 2])
@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_a_frozen_head_with_kept_activations_equals_the_one_without_and_sends_each_row_once(
    model: Model, tmp_path: Path, topology: str, micro_batches: int
) -> None:
    def config(kept: bool) -> RunConfig:
        training = {"micro_batches": micro_batches, "cache_activations": kept, "eval_every": 0}
        return run_config(model("gpt2"), lora={"train_head": False}, split={"topology": topology}, training=training)

    plain, kept = trained(tmp_path / "plain", config(False)), trained(tmp_path / "kept", config(True))
    assert_same(plain, kept)
    assert kept[0].bytes["uplink"] < plain[0].bytes["uplink"]
    unsplit = splitcore.fine_tune_unsplit(config(False), {"a": rows(10)}, out=tmp_path / "unsplit")
    assert unsplit.train_losses["a"] == pytest.approx(plain[0].train_losses["a"], abs=1e-5)
    assert verify_loads(model("gpt2"), tmp_path / "kept" / "adapter").ok


def test_after_the_first_epoch_a_frozen_head_computes_nothing_and_sends_row_numbers_alone(
    model: Model, tmp_path: Path
) -> None:
    ends = Ends(model("llama"))
    config = run_config(model("llama"), lora={"train_head": False}, training={"cache_activations": True})
    ends.client, ends.server = (boundary_of(config, "a", Clock(), width=32, holds=holds) for holds in (False, True))
    hidden_BLD = ends.hidden((0, 3, 5), 0.0)
    first_BLD, size = ends.cross((0, 3, 5), hidden_BLD)
    again_BLD, later = ends.cross((0, 3, 5), torch.zeros_like(hidden_BLD))
    assert size == (3 + 6 + 4) * 32 * 4
    assert later == 0
    assert torch.equal(first_BLD, again_BLD)
    mask_BL = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    at = At(0, 0, mask_BL, (0, 5))
    assert ends.client.needed(at) == [False, False]
    assert list(ends.client.told(at)) == ["rows"]


def test_a_trained_head_cannot_be_kept(model: Model) -> None:
    with pytest.raises(AppError, match=r"train_head"):
        run_config(model("llama"), training={"cache_activations": True})
