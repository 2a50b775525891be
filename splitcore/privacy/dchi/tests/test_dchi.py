"""The defence `dchi`: the law of its noise, which two samplers that are in use do not have."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from splitcore.boundary.stages import At
from splitcore.privacy.dchi.config import Dchi
from splitcore.privacy.dchi.stage import DchiStage
from splitcore.privacy.noise import Noise
from splitcore.wire.protocol.messages import Phase

KEY = bytes(range(32))
ROWS, TOKENS, WIDTH, ETA = 20, 200, 48, 7.0
Check = Callable[[torch.Tensor], bool]


class LengthPerCoordinate(DchiStage):
    """A mutant, from public copies of SnD: a length of its own for each coordinate of the direction."""

    def drawn(self, release: bytes, tokens: int, width: int) -> torch.Tensor:
        direction_LD = torch.nn.functional.normalize(self._noise.normal(release, tokens * width).view(tokens, width))
        return direction_LD * self._noise.gamma(release, tokens * width, shape=width).view(tokens, width)


class LengthPerBatch(DchiStage):
    """A mutant, from a public copy of SplitLLM: one length for all tokens."""

    def drawn(self, release: bytes, tokens: int, width: int) -> torch.Tensor:
        direction_LD = torch.nn.functional.normalize(self._noise.normal(release, tokens * width).view(tokens, width))
        return direction_LD * self._noise.gamma(b"batch", 1, shape=width)


class Uncentred(DchiStage):
    """A mutant: directions from uniform numbers, of which most lie towards one corner."""

    def drawn(self, release: bytes, tokens: int, width: int) -> torch.Tensor:
        one_side_LD = self._noise.normal(release, tokens * width).view(tokens, width).abs()
        length_L1 = self._noise.gamma(release, tokens, shape=width).unsqueeze(1)
        return torch.nn.functional.normalize(one_side_LD) * length_L1


def noise_of(stage: type[DchiStage]) -> torch.Tensor:
    """What is added to many tokens (rows, tokens, D), times η: there is nothing else in what leaves at padding."""
    mask_BL = torch.zeros(ROWS, TOKENS + 1, dtype=torch.int64)
    mask_BL[:, 0] = 1
    hidden_BLD = torch.randn(ROWS, TOKENS + 1, WIDTH, generator=torch.Generator().manual_seed(1))
    built = stage(Dchi(eta=ETA), Noise(KEY))
    noisy_BLD = built.protect(hidden_BLD, Phase.HEAD_UP, At(0, 0, mask_BL, tuple(range(ROWS))))
    return ETA * noisy_BLD[:, 1:].double()


def length_is_gamma(noise_BLD: torch.Tensor) -> bool:
    """Kolmogorov and Smirnov, at one per mille: lengths against Gamma(D, 1)."""
    length_N = noise_BLD.norm(dim=2).flatten().sort().values
    below_N = torch.special.gammainc(torch.full_like(length_N, WIDTH), length_N)
    steps = torch.arange(len(length_N) + 1, dtype=torch.float64) / len(length_N)
    distance = max(float((steps[1:] - below_N).max()), float((below_N - steps[:-1]).max()))
    return distance < 1.95 / math.sqrt(len(length_N))


def direction_is_uniform(noise_BLD: torch.Tensor) -> bool:
    """Mean 0 and covariance I/D of the directions, within five standard errors."""
    direction_ND = torch.nn.functional.normalize(noise_BLD.flatten(0, 1), dim=1)
    count = len(direction_ND)
    mean_D, covariance_DD = direction_ND.mean(0), direction_ND.t() @ direction_ND / count
    off_DD = covariance_DD - torch.eye(WIDTH, dtype=torch.float64) / WIDTH
    near = float(mean_D.abs().max()) < 5 / math.sqrt(WIDTH * count)
    return near and float(off_DD.abs().max()) < 5 * math.sqrt(2 / count) / WIDTH


def tokens_are_independent(noise_BLD: torch.Tensor) -> bool:
    """Lengths of neighbours and of rows have nothing in common, nor have their directions or both of a token."""
    length_BL = noise_BLD.norm(dim=2)
    if float(length_BL.std()) < 0.5 * math.sqrt(WIDTH):
        return False
    along_BL = torch.nn.functional.normalize(noise_BLD, dim=2)[..., 0]
    pairs = [
        (length_BL[:, 1:], length_BL[:, :-1]),
        (length_BL[1:], length_BL[:-1]),
        (along_BL[:, 1:], along_BL[:, :-1]),
        (along_BL, length_BL),
    ]
    return all(
        abs(float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])) < 5 / math.sqrt(one.numel())
        for one, other in pairs
    )


@pytest.mark.parametrize("check", [length_is_gamma, direction_is_uniform, tokens_are_independent])
def test_the_noise_has_its_law(check: Check) -> None:
    assert check(noise_of(DchiStage))


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (LengthPerCoordinate, length_is_gamma),
        (LengthPerBatch, length_is_gamma),
        (LengthPerBatch, tokens_are_independent),
        (Uncentred, direction_is_uniform),
    ],
)
def test_other_samplers_are_found_out(mutant: type[DchiStage], check: Check) -> None:
    assert not check(noise_of(mutant))


def test_two_vectors_give_an_output_with_densities_that_differ_by_the_stated_factor_at_most() -> None:
    """Counted, not derived: outputs of two vectors in a half space, in two dimensions."""
    eta, apart, draws = 1.5, 0.8, 400_000
    direction_ND = torch.nn.functional.normalize(Noise(KEY).normal(b"one", 2 * draws).view(draws, 2).double())
    noise_ND = direction_ND * (Noise(KEY).gamma(b"one", draws, shape=2) / eta).double().unsqueeze(1)
    for border in (-1.0, 0.0, 0.4, 0.8, 2.0):
        one, other = (float((noise_ND[:, 0] + shift > border).double().mean()) for shift in (0.0, apart))
        assert other < math.exp(eta * apart) * one * 1.02
    near, far = (float((noise_ND[:, 0] + shift > 2.0).double().mean()) for shift in (0.0, apart))
    assert far > 0.75 * math.exp(eta * apart) * near  # and almost that much where it is reached


def test_no_account_gives_it_an_epsilon() -> None:
    assert Dchi().release(10) is None
    assert "ε" not in Dchi().words()
