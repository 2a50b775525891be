"""The defence `importance_noise`: whose noise is larger, and what that alone tells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from splitcore.boundary.stages import At
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.importance_noise.config import ImportanceNoise
from splitcore.privacy.importance_noise.stage import ImportanceNoiseStage, factors
from splitcore.privacy.noise import Noise
from splitcore.privacy.tests.released import HIDDEN_BLD, KEY, released, stage_of
from splitcore.wire.protocol.messages import Phase

VOCABULARY, WIDTH = 1000, 4096


def noise_of(ids: list[int], *, rarest: float = 8.0) -> torch.Tensor:
    """What is added to each of these tokens (tokens, D), over the common tokens' deviation."""
    choice = ImportanceNoise(clip=2.0, noise=0.5, rarest=rarest)
    stage = ImportanceNoiseStage(choice, Noise(KEY), VOCABULARY)
    ids_BL = torch.tensor([ids])
    hidden_BLD = torch.randn(1, len(ids), WIDTH, generator=torch.Generator().manual_seed(1))
    where = At(0, 0, torch.ones_like(ids_BL), (0,), ids_BL=ids_BL)
    return (stage.protect(hidden_BLD, Phase.HEAD_UP, where) - stage.clipped(hidden_BLD, where.mask_BL))[0]


def test_the_noise_grows_with_a_token_s_place_from_one_to_the_rarest() -> None:
    size_N = noise_of([0, 9, 99, 999]).std(1)  # a power of the place: equal steps of its logarithm
    assert size_N.tolist() == pytest.approx([1.0, 2.0, 4.0, 8.0], rel=0.05)
    factor_V = factors(VOCABULARY, 8.0)
    assert bool((factor_V.diff() > 0).all())
    assert (float(factor_V[0]), float(factor_V[-1])) == (1.0, pytest.approx(8.0))


def test_with_no_difference_it_is_gaussian_bit_for_bit(tmp_path: Path) -> None:
    alike = stage_of(ImportanceNoise(rarest=1.0), tmp_path)
    assert torch.equal(released(alike, HIDDEN_BLD), released(stage_of(Gaussian(), tmp_path), HIDDEN_BLD))


def test_the_size_of_the_noise_alone_tells_how_rare_a_token_is() -> None:
    """A limit that the page states: whoever sees the length of a vector reads its token's place to within a third."""
    ids = [2, 30, 400, 900, 7]
    noise_ND = noise_of(ids)
    place_N = noise_ND.std(1) ** (torch.tensor(float(VOCABULARY)).log() / torch.tensor(8.0).log())
    for found, true in zip(place_N.tolist(), ids, strict=True):
        assert found == pytest.approx(true + 1, rel=0.33)


def test_it_is_a_function_of_the_token_and_of_nothing_of_the_party_s() -> None:
    one, other = ImportanceNoise(), ImportanceNoise()
    stages = [ImportanceNoiseStage(choice, Noise(key), VOCABULARY) for choice, key in ((one, KEY), (other, KEY[::-1]))]
    where = At(0, 0, torch.ones(1, 3, dtype=torch.int64), (0,), ids_BL=torch.tensor([[5, 50, 500]]))
    assert torch.equal(stages[0].size(where), stages[1].size(where))


def test_no_account_gives_it_an_epsilon() -> None:
    assert ImportanceNoise().release(10) is None
