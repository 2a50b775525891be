"""Upper ends: how often the truth is below them."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.ceilings.confidence import Sampled, mean_lower, mean_upper, share_lower, share_upper
from splitcore.ceilings.tradeoff import Distances, hockey_stick

REPEATS, COUNT, ALPHA = 2000, 200, 0.05


def successes(p: float, count: int = COUNT) -> torch.Tensor:
    """Hits (2,000,) of as many trials."""
    draw = torch.Generator().manual_seed(int(1000 * p))
    return (torch.rand(REPEATS, count, generator=draw) < p).sum(1)


@pytest.mark.parametrize("p", [0.02, 0.1, 0.5])
def test_a_share_is_below_its_upper_end_nineteen_times_of_twenty(p: float) -> None:
    hits_R = successes(p)
    mean_R = hits_R.double() / COUNT
    assert float((mean_upper(mean_R, COUNT) >= p).double().mean()) >= 1 - ALPHA
    assert float((mean_lower(mean_R, COUNT) <= p).double().mean()) >= 1 - ALPHA
    exact = {int(hits): share_upper(int(hits), COUNT) for hits in hits_R.unique()}
    covered = sum(exact[int(hits)] >= p for hits in hits_R) / REPEATS
    assert 1 - ALPHA <= covered < 1.0  # exact, so not wider than it must be
    assert all(float(mean_upper(hits / COUNT, COUNT)) >= upper - 1e-12 for hits, upper in exact.items())


def test_the_usual_interval_of_a_mean_would_miss_it() -> None:
    p, count = 0.02, 50
    mean_R = successes(p, count).double() / count
    usual_R = mean_R + 1.645 * (mean_R * (1 - mean_R) / count).sqrt()
    assert float((usual_R >= p).double().mean()) < 0.8
    assert float((mean_upper(mean_R, count) >= p).double().mean()) >= 1 - ALPHA


@pytest.mark.parametrize("kappa", [0.01, 0.1, 0.5])
def test_the_bound_of_all_records_is_below_the_upper_end_of_a_sample_s(kappa: float) -> None:
    """Distances of long tails: most are small, some at the clip."""
    draw, largest, pilot = torch.Generator().manual_seed(8), 6.0, 0.6
    m_RN = (torch.randn(REPEATS, COUNT, generator=draw).double() - 0.6).exp().clamp_max(largest)
    population = Distances((torch.randn(1_000_000, generator=draw).double() - 0.6).exp().clamp_max(largest))
    one = Sampled(m_RN[0], largest, pilot)
    log_g = -pilot * torch.special.ndtri(torch.tensor(kappa).double()) - pilot**2 / 2
    most = float(hockey_stick(float(log_g), torch.tensor([largest])))
    upper_R = most * mean_upper((hockey_stick(float(log_g), m_RN) / most).mean(1), COUNT)
    truth = population.at(float(log_g), 0.0)
    assert float((upper_R >= truth).double().mean()) >= 1 - ALPHA
    assert one.ceiling(kappa) == pytest.approx(min(1.0, math.exp(log_g) * kappa + float(upper_R[0])), abs=1e-9)
    assert one.ceiling(kappa) >= population.ceiling(kappa)
    assert Sampled(m_RN[0], largest, pilot, shares=5).ceiling(kappa) > one.ceiling(kappa)
    assert one.gain() > population.gain()


def test_the_ends_of_a_half_are_those_of_the_tables() -> None:
    assert float(mean_upper(0.5, 200)) == pytest.approx(0.586, abs=0.001)
    assert share_upper(100, 200) == pytest.approx(0.560, abs=0.001)
    assert (share_upper(0, 59), share_upper(200, 200), share_lower(0, 5)) == (pytest.approx(0.0495, abs=1e-4), 1.0, 0.0)


def test_a_distance_beyond_the_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="clip"):
        Sampled(torch.tensor([0.4, 1.1]), largest=1.0, pilot=0.5)
