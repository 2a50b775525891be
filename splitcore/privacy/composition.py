"""Composition of Gaussian releases, exact and online: squares of sensitivity/σ add up, and ε follows from their sum.

k releases of squares m₁², … are together one Gaussian release of square m₁² + …, also where each is chosen after the
earlier ones were seen, and also where a sum that was fixed beforehand ends it (J. Dong, A. Roth and W. Su, Gaussian
differential privacy, 2022; A. Smith and A. Thakurta, Fully adaptive composition for Gaussian differential privacy,
2022). So the sum is all that is kept of a row's past, and a budget is a largest sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitcore.privacy.calibration import DELTA, epsilon_of, pair_distance

UNBOUNDED = math.inf
LEAST = 1e-6  # of an ε that isn't 0, when it is told


def epsilon_from(squared: float, delta: float = DELTA) -> float:
    """The ε of releases whose squares add up to this; infinite where nothing bounds them."""
    return epsilon_of(math.sqrt(squared), delta) if math.isfinite(squared) else UNBOUNDED


def rounded_up(epsilon: float) -> float:
    """To three digits, never below but for a billionth, which is what computing it may add."""
    if epsilon <= 0 or not math.isfinite(epsilon):
        return epsilon
    epsilon = max(epsilon, LEAST)
    unit = 10.0 ** (2 - math.floor(math.log10(epsilon)))
    return math.ceil(epsilon * unit * (1 - 1e-9)) / unit


def coarse(epsilon: float) -> float:
    """The next of 1, 2 and 5 times a power of ten: an exact ε tells how many tokens the longest row has."""
    shown = rounded_up(epsilon)
    if shown <= 0 or not math.isfinite(shown):
        return shown
    power = math.floor(math.log10(shown))
    steps = (float(f"{factor}e{exponent}") for exponent in (power - 1, power, power + 1) for factor in (1, 2, 5))
    return next(step for step in steps if step >= shown)


def in_words(epsilon: float | None) -> str:
    """As people read it: rounded up, or that there is no bound."""
    if epsilon is None or not math.isfinite(epsilon):
        return "no bound"
    return f"{rounded_up(epsilon):,.10g}"


@dataclass(frozen=True)
class Budget:
    """The largest ε of any row, at this δ."""

    epsilon: float
    delta: float = DELTA

    @property
    def squared(self) -> float:
        """The largest sum of squares within it."""
        return pair_distance(self.epsilon, self.delta) ** 2
