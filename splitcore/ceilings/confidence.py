"""Upper and lower ends of what is estimated, so that a ceiling holds with a stated confidence (torch).

A statement has an error probability α. Several statements share it: with J of them each has α/J (`shares`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from splitcore.ceilings.divergence import highest_mean, lowest_mean
from splitcore.ceilings.tradeoff import hockey_stick
from splitcore.privacy.normal import quantile

ALPHA = 0.05
HALVINGS = 64
ROUNDING = 1e-6  # of a norm, in the number format of the clip


def mean_upper(mean_N: torch.Tensor | float, count: int, alpha: float = ALPHA) -> torch.Tensor:
    """Upper end of the expectation of values in [0, 1], of which `count` independent ones have this mean.

    Chernoff's bound with the binary divergence: valid for every distribution and every count.
    """
    return highest_mean(mean_N, math.log(1 / alpha) / count)


def mean_lower(mean_N: torch.Tensor | float, count: int, alpha: float = ALPHA) -> torch.Tensor:
    """Lower end of the same."""
    return lowest_mean(mean_N, math.log(1 / alpha) / count)


def share_upper(hits: int, count: int, alpha: float = ALPHA) -> float:
    """Upper end of a probability after `hits` of `count` trials (Clopper and Pearson, one-sided): exact."""
    if hits == count:
        return 1.0
    low, high = hits / count, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(hits, count, middle) > alpha else (low, middle)
    return high


def share_lower(hits: int, count: int, alpha: float = ALPHA) -> float:
    """Lower end of the same."""
    return 1.0 - share_upper(count - hits, count, alpha)


@dataclass(frozen=True)
class Hits:
    """So many of so many draws."""

    hits: int
    draws: int

    @property
    def value(self) -> float:
        """The share."""
        return self.hits / self.draws

    def upper(self, alpha: float = ALPHA) -> float:
        """Its upper end."""
        return share_upper(self.hits, self.draws, alpha)

    def lower(self, alpha: float = ALPHA) -> float:
        """Its lower end."""
        return share_lower(self.hits, self.draws, alpha)


@dataclass(frozen=True)
class Sampled:
    """Distances m_N of independently drawn records or tokens: B1 for all that they were drawn from.

    largest: what no distance exceeds, by the clip. pilot: a typical distance, from other draws or from the clip, never
    from m_N. alpha: for all `shares` values of κ that are asked for together. Raises ValueError where a distance is
    above the largest, since then nothing was clipped.
    """

    m_N: torch.Tensor
    largest: float
    pilot: float
    alpha: float = ALPHA
    shares: int = 1

    def __post_init__(self) -> None:
        if float(self.m_N.max()) > self.largest * (1 + ROUNDING):
            raise ValueError("a distance is larger than the clip allows")

    def ceiling(self, kappa: float) -> float:
        """gκ plus the upper end of mean E_g(m), at most 1; g follows from the pilot alone."""
        if kappa in (0.0, 1.0):
            return kappa
        log_g = -self.pilot * quantile(kappa) - self.pilot**2 / 2
        return min(1.0, math.exp(log_g) * kappa + self._upper(log_g))

    def gain(self) -> float:
        """Upper end of mean 2Φ(m/2) − 1."""
        return self._upper(0.0)

    def _upper(self, log_g: float) -> float:
        most = float(hockey_stick(log_g, torch.tensor([self.largest])))
        if not most:
            return 0.0
        mean = float((hockey_stick(log_g, self.m_N) / most).clamp_max(1.0).mean())
        return most * float(mean_upper(mean, len(self.m_N), self.alpha / self.shares))


def _at_most(hits: int, count: int, p: float) -> float:
    """The probability of so many hits or fewer."""
    k = torch.arange(hits + 1, dtype=torch.float64)
    n = torch.tensor(float(count), dtype=torch.float64)
    ways = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    return float(torch.logsumexp(ways + torch.xlogy(k, torch.tensor(p)) + (n - k) * math.log1p(-p), 0).exp())
