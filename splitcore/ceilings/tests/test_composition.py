"""Several releases: what the exact attacker gains by them."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.ceilings.bits import Reference
from splitcore.ceilings.composition import effective_noise, together
from splitcore.ceilings.tradeoff import Distances
from splitcore.privacy.normal import cdf, quantile


@pytest.mark.parametrize("releases", [1, 2, 5, 10])
def test_the_same_vectors_with_fresh_noise_are_read_as_with_less_noise(releases: int) -> None:
    point, deviation, draws = 0.5, 1.0, 200_000
    draw = torch.Generator().manual_seed(releases)
    value_n = torch.randint(2, (draws,), generator=draw) * 2.0 - 1
    released_nE = point * value_n[:, None] + deviation * torch.randn(draws, releases, generator=draw)
    read = float((released_nE.mean(1).sign() == value_n).double().mean())
    m_N = torch.tensor([point / deviation])
    ceiling = Distances(together([m_N] * releases)).ceiling(0.5)
    assert read == pytest.approx(ceiling, abs=0.005)
    assert ceiling == pytest.approx(cdf(point / effective_noise(deviation, releases)), abs=1e-9)
    if releases > 1:  # a mutant that forgets the other releases
        assert read > Distances(m_N).ceiling(0.5) + 0.02


def test_one_in_ten_of_a_vocabulary_becomes_nearly_all_of_it_in_five_epochs() -> None:
    kappa = 1 / 49_152
    once_N = torch.tensor([quantile(0.1) - quantile(kappa)])
    ceilings = [Distances(together([once_N] * epochs)).ceiling(kappa) for epochs in (1, 2, 3, 5)]
    assert ceilings == pytest.approx([0.10, 0.46, 0.78, 0.986], abs=0.006)


def test_hidden_states_and_gradients_together_are_above_each_alone() -> None:
    hidden_N, gradient_N = torch.tensor([0.3, 1.2]), torch.tensor([0.4, 0.5])
    both_N = together([hidden_N, gradient_N])
    assert both_N.tolist() == pytest.approx([0.5, 1.3])
    both = Distances(both_N).ceiling(0.2)
    assert both > max(Distances(one_N).ceiling(0.2) for one_N in (hidden_N, gradient_N))


def test_nats_of_repeated_rows_are_those_of_rows_with_less_noise() -> None:
    rows_ND = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    apart = sum(Reference(torch.zeros(4, 3)).nats(rows_ND) for _ in range(3))
    assert apart == pytest.approx(Reference(torch.zeros(4, 3)).nats(rows_ND / effective_noise(1.0, 3)))
    assert effective_noise(2.0, 4) == 1.0 == 2.0 / math.sqrt(4)
