"""One vector per record, clipped to a ball and released once with Gaussian noise: (ε, δ) and what it means. Torch-free.

Two distances, in standard deviations of the noise. *Pairs*, sensitivity/σ: of two records that could stand for each
other, for membership and for (ε, δ). *Reconstruction*, C/σ: from the centre of the ball, which knows no record. With
"replace one record" the sensitivity is 2C, the ball's diameter, and a reconstruction has half the distance of a pair.

ε and δ are those of `privacy.calibration`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from splitcore.privacy.calibration import DELTA, Adjacency, epsilon_of, noise_of
from splitcore.privacy.normal import advantage, cdf, quantile, tradeoff


@dataclass(frozen=True)
class PooledRelease:
    """One release per record. ratio: σ/C."""

    ratio: float

    @classmethod
    def calibrated(
        cls, epsilon: float, delta: float = DELTA, adjacency: Adjacency = Adjacency.REPLACE_ONE
    ) -> PooledRelease:
        """With the least noise that is (ε, δ)-private."""
        return cls(noise_of(epsilon, delta, adjacency))

    def epsilon(self, delta: float = DELTA, adjacency: Adjacency = Adjacency.REPLACE_ONE) -> float:
        """The ε of this noise."""
        return epsilon_of(adjacency.radii / self.ratio, delta)

    @property
    def reconstruction(self) -> float:
        """C/σ."""
        return 1 / self.ratio

    @property
    def pairs(self) -> float:
        """2C/σ: what tells whether a record or another one was used."""
        return 2 / self.ratio

    def ceiling(self, kappa: float) -> float:
        """The success of whoever is right with probability κ without the release: of any guess about a record."""
        return tradeoff(kappa, self.reconstruction)

    @property
    def gain(self) -> float:
        """The most that any success rises by, whatever κ is."""
        return advantage(self.reconstruction)

    @property
    def bits(self) -> float:
        """The most that the release tells of a record."""
        return self.reconstruction**2 / (2 * math.log(2))

    def token_gain(self, tokens: int) -> float:
        """The most that the success of a reader of the true prefix rises by, per token of a record of so many."""
        return self.reconstruction / (2 * math.sqrt(tokens))

    @property
    def membership_advantage(self) -> float:
        """True less false positives of the best test for whether a record was used."""
        return advantage(self.pairs)

    @property
    def membership_auc(self) -> float:
        """Area under that test's curve."""
        return cdf(self.pairs / math.sqrt(2))

    def membership_at(self, false_positives: float) -> float:
        """True positives of that test."""
        return tradeoff(false_positives, self.pairs)


def from_epsilon_alone(kappa: float, epsilon: float, delta: float) -> float:
    """The ceiling that (ε, δ) gives for whatever mechanism: far above a Gaussian's own."""
    return min(1.0, math.exp(epsilon) * kappa + delta, 1 - math.exp(-epsilon) * (1 - kappa - delta))


def largest_epsilon(
    points: float, kappa: float | None, *, delta: float = DELTA, adjacency: Adjacency = Adjacency.REPLACE_ONE
) -> float:
    """The largest ε whose noise keeps every success at or below κ + points; for every κ where none is given."""
    m = 2 * quantile((1 + points) / 2) if kappa is None else quantile(kappa + points) - quantile(kappa)
    return epsilon_of(adjacency.radii * m, delta)
