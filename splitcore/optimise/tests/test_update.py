"""The update that all sides share is torch's own, to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import splitcore
from splitcore.config import TrainingSection
from splitcore.models.tests.tiny import rows
from splitcore.optimise.norms import norms_vector, total_norm
from splitcore.optimise.optimiser import Optimiser
from splitcore.optimise.update import update
from splitcore.training import unsplit
from splitcore.training.tests.conftest import run_config


@pytest.mark.parametrize("clip_norm", [None, 0.3, 1e6])
def test_five_updates_are_those_of_clip_grad_norm_and_adamw(clip_norm: float | None) -> None:
    generator = torch.Generator().manual_seed(3)
    ours = {f"p{size}": nn.Parameter(torch.randn(size, 7, generator=generator)) for size in (1, 3, 40, 257)}
    theirs = copy.deepcopy(list(ours.values()))
    training = TrainingSection(learning_rate=5e-3, weight_decay=0.01, schedule="constant", clip_norm=clip_norm)
    optimiser = Optimiser(ours, training, 5)
    reference = torch.optim.AdamW(theirs, lr=5e-3, weight_decay=0.01)
    for step in range(5):
        # the last one has no gradient in the second step: torch leaves it out of the norm, and as it is
        gradients = [
            torch.randn(p.shape, generator=generator) if (i, step) != (3, 1) else None for i, p in enumerate(theirs)
        ]
        for parameter, gradient in zip(theirs, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient.clone()
        if clip_norm is not None:
            nn.utils.clip_grad_norm_(theirs, clip_norm)
        reference.step()
        named = dict(zip(ours, gradients, strict=True))
        update(ours, named, total_norm(norms_vector(named, ours)), optimiser=optimiser, step=step, clip_norm=clip_norm)
    assert all(torch.equal(mine, other) for mine, other in zip(ours.values(), theirs, strict=True))


def test_the_unsplit_run_clips_and_steps_as_plain_torch_does(
    model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(model("llama"), training={"steps": 6})
    ours = splitcore.fine_tune_unsplit(config, {"a": rows(10)}, out=tmp_path / "ours")

    def plain(
        parameters: dict[str, nn.Parameter], gradients: object, norm: object, *, optimiser: Optimiser, **how: Any
    ) -> float:
        nn.utils.clip_grad_norm_(parameters.values(), how["clip_norm"])
        return optimiser.step(how["step"])

    monkeypatch.setattr(unsplit, "update", plain)
    theirs = splitcore.fine_tune_unsplit(config, {"a": rows(10)}, out=tmp_path / "theirs")
    assert ours.train_losses == theirs.train_losses
    mine, other = (load_file(tmp_path / run / "adapter" / "adapter_model.safetensors") for run in ("ours", "theirs"))
    assert all(torch.equal(mine[name], other[name]) for name in other)
