"""The calibration of Gaussian noise against the distribution of its privacy loss, integrated number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from splitcore.privacy.calibration import DELTA, Adjacency, epsilon_of, noise_of, pair_distance

EPSILONS = [0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 20.0]


def delta_of(epsilon: float, m: float) -> float:
    """δ = E[(1 − exp(ε − L))⁺], with the privacy loss L = ln p(y)/q(y) of y ~ N(m, 1) against N(0, 1), by the sum."""
    y, step = np.linspace(-40.0 + m, 40.0 + m, 2_000_001, retstep=True)
    loss = m * y - m * m / 2
    density = np.exp(-((y - m) ** 2) / 2) / math.sqrt(2 * math.pi)
    return float((density * np.clip(-np.expm1(epsilon - np.maximum(loss, epsilon)), 0.0, None)).sum() * step)


@pytest.mark.parametrize("epsilon", EPSILONS)
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("adjacency", list(Adjacency))
def test_the_noise_has_its_delta_exactly_and_less_noise_has_a_larger_one(
    epsilon: float, delta: float, adjacency: Adjacency
) -> None:
    ratio = noise_of(epsilon, delta, adjacency)
    assert delta_of(epsilon, adjacency.radii / ratio) == pytest.approx(delta, rel=1e-5)
    assert delta_of(epsilon, adjacency.radii / (0.99 * ratio)) > delta * 1.01


@pytest.mark.parametrize("m", [0.05, 0.3, 1.0, 3.0, 12.0])
def test_the_epsilon_of_a_noise_has_delta_exactly(m: float) -> None:
    epsilon = epsilon_of(m, DELTA)
    assert delta_of(epsilon, m) == pytest.approx(DELTA, rel=1e-4) if epsilon else delta_of(0.0, m) <= DELTA


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.9])
def test_it_needs_less_noise_than_the_classic_formula(epsilon: float) -> None:
    classic = math.sqrt(2 * math.log(1.25 / DELTA)) / epsilon  # Dwork and Roth, 2014: for ε below 1 alone
    assert 0.5 * classic < 1 / pair_distance(epsilon, DELTA) < classic


def test_two_inputs_at_the_sensitivity_are_told_apart_no_better_than_delta_allows() -> None:
    """Draws instead of integrals: of the region where the loss is above ε, P ≤ e^ε Q + δ holds with equality."""
    epsilon, delta = 1.0, 0.02
    m = pair_distance(epsilon, delta)
    draws = np.random.default_rng(1).standard_normal(2_000_000)
    above = (epsilon + m * m / 2) / m
    p, q = float((draws + m > above).mean()), float((draws > above).mean())
    assert p - math.exp(epsilon) * q == pytest.approx(delta, abs=0.002)
