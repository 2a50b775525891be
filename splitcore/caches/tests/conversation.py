"""What the tests of what crosses share: both ends of a conversation, and short trainings to compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import splitcore
from splitcore import RunResult
from splitcore.boundary.stages import At
from splitcore.codecs.tensors import encode
from splitcore.config import RunConfig
from splitcore.control.clock import Clock
from splitcore.models.tests.tiny import rows
from splitcore.step.stages import boundary_of
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Kind, Message, Phase

Model = Callable[[str], Path]
Adapter = dict[str, torch.Tensor]
LOW_BIT = {"activations": "int4", "gradients": "int3", "gradient_rounding": "rotated"}


def trained(out: Path, config: RunConfig) -> tuple[RunResult, Adapter]:
    result = splitcore.fine_tune(config, {"a": rows(10)}, out=out, eval_rows=rows(3))
    return result, load_file(out / "adapter" / "adapter_model.safetensors")


def assert_same(ours: tuple[RunResult, Adapter], theirs: tuple[RunResult, Adapter]) -> None:
    assert ours[0].train_losses == theirs[0].train_losses
    assert ours[0].eval_losses == theirs[0].eval_losses
    assert ours[1].keys() == theirs[1].keys()
    assert all(torch.equal(ours[1][name], theirs[1][name]) for name in ours[1])


class Ends:
    """Both ends of a conversation, and a row's activations that drift as training goes on."""

    def __init__(self, folder: Path, **wire: Any) -> None:
        config = run_config(folder, wire={"activations": "int4", **wire})
        self.client, self.server = (
            boundary_of(config, "a", Clock(), width=32, holds=holds, folder=folder / "cache") for holds in (False, True)
        )
        self._generator = torch.Generator().manual_seed(1)
        self._first = torch.randn(8, 6, 32, generator=self._generator)

    def hidden(self, numbers: tuple[int, ...], drift: float) -> torch.Tensor:
        noise = torch.randn(len(numbers), 6, 32, generator=self._generator)
        return self._first[list(numbers)] + drift * noise

    def cross(self, numbers: tuple[int, ...], hidden_BLD: torch.Tensor, *, step: int = 0) -> tuple[torch.Tensor, int]:
        """What the server gets of rows 0 to 7, which are 3, 4, 5 or 6 tokens long; and the bytes that it took."""
        mask_BL = torch.tensor([[1] * (3 + row % 4) + [0] * (3 - row % 4) for row in numbers])
        at = At(step, 0, mask_BL, numbers)
        told = {name: encode(*entry) for name, entry in self.client.told(at).items()}
        sent = self.client.out(Phase.HEAD_UP, at, hidden_BLD)
        message = Message(Kind.ACTIVATIONS, step=step, phase=Phase.HEAD_UP, tensors={**told, **sent})
        there = self.server.at(message, "cpu")
        got_BLD = self.server.back(message, there, device="cpu", dtype=torch.float32)
        return got_BLD, sum(payload.nbytes for payload in sent.values())

    def assert_equal_caches(self) -> None:
        ours, theirs = self.client.state(), self.server.state()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
