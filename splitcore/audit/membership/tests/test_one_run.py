"""The lower bound on ε against mechanisms whose ε is known, and against mutants with too little noise."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.audit.membership.one_run import Guesses, chance, epsilon_at_least, guesses_of
from splitcore.privacy.calibration import pair_distance

CANARIES, MADE, DELTA, RUNS = 1000, 200, 1e-5, 20


def bound(sigma: float, seed: int) -> float:
    """A sum of canaries, each in a direction of its own and one long, with noise: one training in the small."""
    draw = torch.Generator().manual_seed(seed)
    included = torch.rand(CANARIES, generator=draw) < 0.5
    released = included.double() + sigma * torch.randn(CANARIES, generator=draw, dtype=torch.float64)
    return epsilon_at_least(guesses_of(released.tolist(), included.tolist(), MADE), delta=DELTA)


@pytest.mark.parametrize("epsilon", [1.0, 4.0])
def test_the_bound_stays_below_the_claimed_epsilon_in_twenty_of_twenty_runs(epsilon: float) -> None:
    sigma = 1 / pair_distance(epsilon, DELTA)
    assert sum(bound(sigma, seed) <= epsilon for seed in range(RUNS)) == RUNS


def test_a_quarter_of_the_noise_is_caught() -> None:
    sigma = 1 / pair_distance(1.0, DELTA) / 4
    assert all(bound(sigma, seed) > 1.0 for seed in range(RUNS))


def test_randomised_response_is_bounded_closely() -> None:
    """It is the worst mechanism of its ε: each canary's coin is told, and is right with chance e^ε / (1 + e^ε)."""
    draw, epsilon = torch.Generator().manual_seed(3), 2.0
    right = int((torch.rand(5000, generator=draw) < 1 / (1 + math.exp(-epsilon))).sum())
    assert epsilon - 0.3 < epsilon_at_least(Guesses(right, 5000, 5000), delta=0.0) <= epsilon


def test_the_chance_is_the_binomial_tail_and_grows_with_delta() -> None:
    law = torch.distributions.Binomial(20, torch.tensor(1 / (1 + math.exp(-1.0)), dtype=torch.float64))
    tail = float(law.log_prob(torch.arange(15.0, 21.0)).exp().sum())
    assert chance(Guesses(15, 20, 40), 1.0, 0.0) == pytest.approx(tail)
    assert chance(Guesses(15, 20, 40), 1.0, 1e-3) > tail
    assert chance(Guesses(0, 20, 40), 1.0, 0.0) == pytest.approx(1.0)


def test_coins_say_nothing() -> None:
    assert epsilon_at_least(Guesses(100, 200, 1000), delta=DELTA) == 0.0
    assert epsilon_at_least(Guesses(200, 200, 200), delta=0.0) == pytest.approx(
        -math.log(0.05 ** (-1 / 200) - 1), abs=1e-6
    )


def test_only_the_ends_are_guessed() -> None:
    assert guesses_of([3, 1, 2, 0], [True, False, False, True], 2) == Guesses(1, 2, 4)
    with pytest.raises(ValueError, match="fewer canaries"):
        guesses_of([1.0], [True], 2)
