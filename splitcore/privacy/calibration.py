"""Gaussian noise on a vector of bounded norm, released once: how much is (ε, δ), and what ε a noise has. Torch-free.

All follows from one distance, m = sensitivity/σ: how far apart two releases are that could stand for each other, in
standard deviations of the noise. ε and δ are exact for the Gaussian mechanism (B. Balle and Y.-X. Wang, 2018).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from splitcore.privacy.normal import hockey_stick

DELTA = 1e-5
HALVINGS = 100


class Adjacency(StrEnum):
    """Which two data sets an ε speaks of."""

    REPLACE_ONE = "one record replaced by another"
    ZERO_OUT = "one record's vector replaced by zeros"

    @property
    def radii(self) -> int:
        """The sensitivity in radii C of the ball."""
        return 2 if self is Adjacency.REPLACE_ONE else 1


def pair_distance(epsilon: float, delta: float) -> float:
    """The largest sensitivity/σ that is (ε, δ)-private."""
    return _edge(lambda m: hockey_stick(epsilon, m) <= delta)[0]


def epsilon_of(m: float, delta: float) -> float:
    """The smallest ε for which sensitivity/σ = m is (ε, δ)-private."""
    if hockey_stick(0.0, m) <= delta:
        return 0.0
    return _edge(lambda epsilon: hockey_stick(epsilon, m) > delta)[1]


def noise_of(epsilon: float, delta: float = DELTA, adjacency: Adjacency = Adjacency.REPLACE_ONE) -> float:
    """σ/C: the least noise, as a share of the ball's radius, that is (ε, δ)-private."""
    return adjacency.radii / pair_distance(epsilon, delta)


def _edge(holds: Callable[[float], bool]) -> tuple[float, float]:
    """The ends of a tiny interval up to which `holds`, which is true at 0 and false for large numbers."""
    low, high = 0.0, 1.0
    while holds(high):
        low, high = high, 2 * high
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high
