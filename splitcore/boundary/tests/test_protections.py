"""A protection works inside autograd: the gradient goes back through it, its own parameters and loss included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from splitcore.boundary.stages import At, ClientStage
from splitcore.control.clock import Clock
from splitcore.data.batches import Batch
from splitcore.models.carve import Segment
from splitcore.step.ends import Ends
from splitcore.step.stages import boundary_of
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Phase


class Scaled(ClientStage):
    """Multiplies what leaves by a number that it learns, and pulls that number towards zero."""

    def __init__(self) -> None:
        self.factor = nn.Parameter(torch.tensor(3.0))

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        return tensor_BLD * self.factor

    def loss(self, hidden_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> torch.Tensor:
        return at.mask_BL.sum() * self.factor.square()


class Doubling:
    """A head of one weight."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.tensor(2.0))

    def __call__(self, mask_BL: torch.Tensor, *, ids_BL: torch.Tensor) -> torch.Tensor:
        return self.weight * ids_BL.float().unsqueeze(-1)


@pytest.fixture
def stage(model: Callable[[str], Path]) -> tuple[Ends, Doubling, Scaled, Batch]:
    config, scaled, head = run_config(model("llama")), Scaled(), Doubling()
    boundary = boundary_of(config, "a", Clock(), width=1, holds=False, client_stages=[scaled])
    segments: tuple[Segment, None] = (head, None)  # type: ignore[assignment]
    ends = Ends(
        config=config, party="a", segments=segments, boundary=boundary, clock=Clock(), normaliser=lambda step: 4
    )
    ids_BL = torch.tensor([[1, 2]])
    return ends, head, scaled, Batch(ids_BL, torch.ones_like(ids_BL), ids_BL, (0,))


def test_what_leaves_is_protected_and_the_gradient_goes_back_through_it(
    stage: tuple[Ends, Doubling, Scaled, Batch],
) -> None:
    ends, head, _, batch = stage
    passed = ends.head(batch, At(0, 0, batch.mask_BL, batch.rows))
    assert passed.output_BLD.flatten().tolist() == [6.0, 12.0]
    ends.head_backward(passed, torch.ones(1, 2, 1))
    assert head.weight.grad is not None
    assert float(head.weight.grad) == 3.0 * (1 + 2)


def test_a_loss_of_its_own_is_divided_by_the_step_s_tokens_and_goes_back_with_the_gradient(
    stage: tuple[Ends, Doubling, Scaled, Batch],
) -> None:
    ends, _, scaled, batch = stage
    ends.head_backward(ends.head(batch, At(0, 0, batch.mask_BL, batch.rows)), torch.ones(1, 2, 1))
    grad = scaled.factor.grad
    assert grad is not None
    assert float(grad) == 2.0 * (1 + 2) + 2 * 2 * 3.0 / 4
