"""The defence `token_mixup`: what is mixed with what, by how much, and what stays the same."""

from __future__ import annotations

import pytest
import torch

from splitcore.boundary.stages import At
from splitcore.privacy.noise import Noise
from splitcore.privacy.tests.training import AT, KEY, MASK_BL
from splitcore.privacy.token_mixup.config import TokenMixup
from splitcore.privacy.token_mixup.stage import TokenMixupStage
from splitcore.wire.protocol.messages import Phase

STAGE = TokenMixupStage(TokenMixup(share=0.6), Noise(KEY))


def mixed(hidden_BLD: torch.Tensor, at: At = AT) -> torch.Tensor:
    return STAGE.protect(hidden_BLD, Phase.HEAD_UP, at)


def test_each_vector_is_a_mean_of_its_own_and_an_earlier_one_of_its_row_in_drawn_shares() -> None:
    length = 200
    basis_BLD = torch.eye(length).unsqueeze(0)  # each token is a direction of its own
    mask_BL = torch.ones(1, length, dtype=torch.int64)
    weights_LD = mixed(basis_BLD, At(0, 0, mask_BL, (1,)))[0]
    assert torch.equal(weights_LD[0], basis_BLD[0, 0])
    assert torch.allclose(weights_LD.sum(1), torch.ones(length))
    assert not weights_LD.triu(1).any()
    assert bool(((weights_LD > 0).sum(1)[1:] == 2).all())
    share_L = 1 - weights_LD.diagonal()[1:]
    assert float(share_L.max()) < 0.6
    assert float(share_L.mean()) == pytest.approx(0.3, abs=0.04)
    place_L = torch.stack([row_D[:at].argmax() for at, row_D in enumerate(weights_LD) if at])
    assert float((place_L / torch.arange(1, length)).mean()) == pytest.approx(0.5, abs=0.06)


def test_the_same_values_are_mixed_alike_in_any_batch_and_others_otherwise() -> None:
    hidden_BLD = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2))
    together_BLD = mixed(hidden_BLD)
    alone_BLD = mixed(hidden_BLD[1:, :3], At(7, 1, MASK_BL[1:, :3], (9,)))
    assert torch.equal(together_BLD[1, :3], alone_BLD[0])
    other = mixed(hidden_BLD[1:, :3], At(7, 1, MASK_BL[1:, :3], (8,)))
    assert not torch.allclose(other, alone_BLD)
    assert not torch.allclose(TokenMixupStage(TokenMixup(share=0.6), Noise(bytes(32)[:-1] + b"1")).protect(
        hidden_BLD, Phase.HEAD_UP, AT), together_BLD)  # fmt: skip


def test_the_gradient_is_shared_out_as_the_values_were() -> None:
    hidden_BLD = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(2), requires_grad=True)
    mixed(hidden_BLD).sum().backward()
    assert hidden_BLD.grad is not None
    assert float(hidden_BLD.grad.sum()) == pytest.approx(80.0, rel=1e-5)
    assert bool((hidden_BLD.grad[0, 0] >= 1).all())


def test_what_comes_back_and_what_was_not_computed_are_left_alone() -> None:
    hidden_BLD = torch.randn(2, 5, 8)
    assert STAGE.protect(hidden_BLD, Phase.TAIL_UP, AT) is hidden_BLD
    assert not mixed(torch.zeros(2, 5, 8)).any()
