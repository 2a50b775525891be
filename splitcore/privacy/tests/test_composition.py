"""Composition of Gaussian releases against two oracles: dp-accounting's PLD, and a PLD of our own that knows no ε."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from splitcore.boundary.release import Release
from splitcore.privacy.composition import UNBOUNDED, Budget, epsilon_from, in_words, rounded_up
from splitcore.privacy.normal import cdf

MIXED = [0.02 * (place + 1) for place in range(50)]
# sensitivity/σ of each release, δ, and ε by PLDAccountant of dp-accounting 0.6.0 (value_discretization_interval=1e-4),
# which can't be installed beside our other packages (it wants attrs below 24); its RDP accountant says 3 to 9 % more
ORACLE: list[tuple[Sequence[float], float, float]] = [
    ([0.25], 1e-5, 0.9263415237343752),
    ([1.0], 1e-5, 4.37717810002493),
    ([5.0], 1e-5, 33.10373233731123),
    ([0.1] * 50, 1e-5, 2.943225246101952),
    ([0.5] * 50, 1e-5, 20.675508047742515),
    ([1.0] * 50, 1e-5, 54.37663901600107),
    (MIXED, 1e-5, 25.572396696160343),
    ([0.25], 1e-7, 1.1817459257069358),
    ([0.1] * 50, 1e-7, 3.63809209320798),
    (MIXED, 1e-7, 29.483331653734336),
]


@pytest.mark.parametrize(("distances", "delta", "expected"), ORACLE)
def test_fifty_releases_have_the_epsilon_of_dp_accounting(
    distances: Sequence[float], delta: float, expected: float
) -> None:
    found = epsilon_from(sum(m * m for m in distances), delta)
    assert found == pytest.approx(expected, rel=1e-6)
    assert rounded_up(found) >= expected * (1 - 1e-9)  # what people are shown is never below
    assert rounded_up(found) <= expected * 1.01


GRID, SIZE = 2e-4, 1 << 16  # of losses, up to ±6.5


@cache
def spectrum(m: float, up: int) -> np.ndarray:
    """Of the losses of one release, N(m²/2, m²), each rounded down or up to the grid."""
    edges = np.array([cdf((place * GRID - m * m / 2) / m) for place in range(-SIZE // 2, SIZE // 2 + 1)])
    return np.fft.rfft(np.roll(np.diff(edges), SIZE // 2 + up))


def deltas(distances: Sequence[float], epsilon: float) -> tuple[float, float]:
    """A lower and an upper bound of δ at ε: the losses of all releases, rounded either way, are convolved."""
    found = []
    for up in (0, 1):
        product = np.prod([spectrum(m, up) ** count for m, count in Counter(distances).items()], axis=0)
        mass = np.roll(np.fft.irfft(product, SIZE), SIZE // 2).clip(0)
        losses = np.arange(-SIZE // 2, SIZE // 2) * GRID
        found.append(float((mass * -np.expm1(np.minimum(epsilon - losses, 0.0))).sum()))
    return found[0], found[1]


@pytest.mark.parametrize("distances", [[0.25], [0.1] * 50, [0.05, 0.1, 0.3, 0.4]], ids=["one", "fifty", "mixed"])
def test_convolved_losses_agree_within_a_hundredth(distances: list[float]) -> None:
    epsilon = epsilon_from(sum(m * m for m in distances), 1e-5)
    low, high = deltas(distances, epsilon)
    assert low <= 1e-5 <= high
    assert deltas(distances, epsilon * 1.01)[1] < 1e-5 < deltas(distances, epsilon * 0.99)[0]


def test_a_budget_is_the_largest_sum_of_squares_within_its_epsilon() -> None:
    budget = Budget(2.0, 1e-6)
    assert epsilon_from(budget.squared, 1e-6) == pytest.approx(2.0)
    assert epsilon_from(budget.squared * (1 + 1e-6), 1e-6) > 2.0


def test_nothing_spent_is_zero_and_no_noise_has_no_bound() -> None:
    assert epsilon_from(0.0) == 0.0
    assert epsilon_from(UNBOUNDED) == UNBOUNDED
    assert in_words(UNBOUNDED) == in_words(None) == "no bound"


@pytest.mark.parametrize(
    ("epsilon", "shown"),
    [
        (0.0, "0"),
        (0.123456, "0.124"),
        (2.0, "2"),
        (2 + 1e-12, "2"),
        (8.001, "8.01"),
        (52_340.1, "52,400"),
        (5e-324, "1e-06"),
    ],
)
def test_an_epsilon_is_shown_with_three_digits_and_never_below_itself(epsilon: float, shown: str) -> None:
    assert in_words(epsilon) == shown
    assert rounded_up(epsilon) >= epsilon * (1 - 1e-9)


@pytest.mark.parametrize("deviation", [0.0, 5e-324, 1e-200])
def test_noise_that_is_next_to_none_gives_no_bound(deviation: float) -> None:
    assert math.isclose(Release("any", sensitivity=2.0, deviation=4.0).squared, 0.25)
    release = Release("any", sensitivity=2.0, deviation=deviation)
    assert in_words(epsilon_from(release.squared)) == "no bound"
