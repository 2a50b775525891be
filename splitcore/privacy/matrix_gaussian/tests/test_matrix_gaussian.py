"""The defence `matrix_gaussian`: one clip for a row, the noise of a stated (ε, δ), and what that means for two rows."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from splitcore.boundary.stages import At
from splitcore.privacy.calibration import noise_of
from splitcore.privacy.composition import epsilon_from
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.matrix_gaussian.config import MatrixGaussian
from splitcore.privacy.matrix_gaussian.stage import MatrixGaussianStage
from splitcore.privacy.noise import Noise
from splitcore.privacy.tests.released import HIDDEN_BLD, KEY, MASK_BL, at, released, stage_of
from splitcore.wire.protocol.messages import Phase


def test_a_row_is_clipped_as_a_whole_and_its_vectors_keep_their_proportions(tmp_path: Path) -> None:
    clean_BLD = released(stage_of(MatrixGaussian(clip=7.0, noise=1e-6), tmp_path), HIDDEN_BLD)
    for row_LD, hidden_LD, mask_L in zip(clean_BLD, HIDDEN_BLD, MASK_BL.bool(), strict=True):
        assert float(row_LD[mask_L].norm()) == pytest.approx(7.0, rel=1e-4)
        ratio_N = row_LD[mask_L].norm(dim=1) / hidden_LD[mask_L].norm(dim=1)
        assert ratio_N.tolist() == pytest.approx([float(ratio_N[0])] * len(ratio_N), rel=1e-4)


def test_where_nothing_is_clipped_it_is_gaussian_bit_for_bit(tmp_path: Path) -> None:
    """Its noise has the same covariance, σ² in each number: the identity's shape."""
    matrix = stage_of(MatrixGaussian(clip=1e3, noise=0.002), tmp_path)
    tokens = stage_of(Gaussian(clip=1e3, noise=0.002), tmp_path)
    assert torch.equal(released(matrix, HIDDEN_BLD), released(tokens, HIDDEN_BLD))


def test_the_noise_of_tokens_and_of_numbers_is_uncorrelated_and_of_one_variance() -> None:
    count, tokens, width = 4000, 3, 5
    stage = MatrixGaussianStage(MatrixGaussian(clip=1.0, noise=2.0), Noise(KEY))
    hidden_BLD = torch.randn(count, tokens, width, generator=torch.Generator().manual_seed(2))
    where = At(0, 0, torch.ones(count, tokens, dtype=torch.int64), tuple(range(count)))
    noise_BLD = stage.protect(hidden_BLD, Phase.HEAD_UP, where) - stage.clipped(hidden_BLD, where.mask_BL)
    covariance = torch.cov(noise_BLD.flatten(1).t().double())
    off = covariance - 4.0 * torch.eye(tokens * width, dtype=torch.float64)
    assert float(off.abs().max()) < 5 * 4.0 * math.sqrt(2 / count)
    assert float(noise_BLD.mean(0).abs().max()) < 5 * 2.0 / math.sqrt(count)


@pytest.mark.parametrize(("epsilon", "ratio"), [(1.0, 2 * 3.73), (2.0, 2 * 1.99), (4.0, 2 * 1.08), (8.0, 2 * 0.600)])
def test_the_noise_is_that_of_the_sensitivity_of_two_clips(epsilon: float, ratio: float) -> None:
    choice = MatrixGaussian(clip=3.0, epsilon=epsilon)
    assert choice.deviation == pytest.approx(3.0 * ratio, rel=2e-3)
    assert choice.deviation == 3.0 * noise_of(epsilon, 1e-5)
    given = MatrixGaussian(clip=3.0, noise=choice.deviation / 3.0)
    for tokens in (5, 500):
        assert epsilon_from(given.release(tokens).squared) == pytest.approx(epsilon, rel=1e-9)


def test_the_best_test_between_two_rows_is_no_better_than_epsilon_and_delta_allow() -> None:
    """Opposite rows, the farthest apart that the clip lets through, and the likelihood ratio of what really leaves."""
    epsilon, delta, count = 1.0, 0.05, 40_000
    choice = MatrixGaussian(clip=2.0, epsilon=epsilon, delta=delta)
    row_LD = torch.randn(4, 8, generator=torch.Generator().manual_seed(3)) * 9
    ratio = {}
    for sign, secret in ((1.0, KEY), (-1.0, KEY[::-1])):
        stage = MatrixGaussianStage(choice, Noise(secret))
        where = At(0, 0, torch.ones(count, 4, dtype=torch.int64), tuple(range(count)))
        seen_BLD = stage.protect((sign * row_LD).expand(count, -1, -1), Phase.HEAD_UP, where)
        sent_LD = stage.clipped(row_LD.unsqueeze(0), where.mask_BL[:1])[0]
        ratio[sign] = 2 * (seen_BLD * sent_LD).sum((1, 2)).double() / choice.deviation**2  # ln p(y | row) / p(y | −row)
    p, q = (float((ratio[sign] > epsilon).double().mean()) for sign in (1.0, -1.0))
    assert p - math.exp(epsilon) * q == pytest.approx(delta, abs=0.015)


def test_rows_of_evaluations_and_padding_do_not_change_the_clip(tmp_path: Path) -> None:
    stage = stage_of(MatrixGaussian(clip=5.0), tmp_path)
    assert isinstance(stage, MatrixGaussianStage)
    wide_BLD = torch.nn.functional.pad(HIDDEN_BLD, (0, 0, 0, 2), value=99.0)
    clean_BLD = stage.clipped(wide_BLD, at(extra=2).mask_BL)
    assert torch.equal(clean_BLD[:, :4], stage.clipped(HIDDEN_BLD, MASK_BL))
    assert not clean_BLD[:, 4:].any()
