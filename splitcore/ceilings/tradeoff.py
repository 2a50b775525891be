"""B1, the trade-off bound: how much more a release tells, from distances alone (torch, double precision).

A record x is released as Y = H(x) + σN. Let c be any reference that doesn't depend on what is guessed, and
m_x = ‖H(x) − c‖ / σ. For every attacker, every score in [0, 1] and every g > 0

    success with Y ≤ g · (success with c + σN) + E_g(m_x)

and against c + σN, which says nothing of x, success is at most κ. Averaged over records with any fixed weights, and
with the best g, this is `Distances.ceiling`. It needs no vocabulary and no language model. Two uses:

record    all rows, c from other text. κ of an attacker without the text (`kappa.Blind`).
token     the rows from a token on, c from the rest of its record. κ of a reader of the rest (`kappa.Rest`).

For one given attack the bound needs no assumption: κ is then what the same code finds in c + σN.

Shapes: N distances: of records, or of tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from splitcore.privacy.normal import advantage, quantile

HALVINGS = 100
SMALLEST = 1e-12  # of a distance: the divergence grows with it, so rounding up stays valid


def hockey_stick(log_g: float, m_N: torch.Tensor) -> torch.Tensor:
    """E_g(m) of each distance, g = exp(log_g); see `normal.hockey_stick`."""
    m_N = m_N.double().clamp_min(SMALLEST)
    minus_N = torch.exp(log_g + torch.special.log_ndtr(-m_N / 2 - log_g / m_N))
    return (torch.special.ndtr(m_N / 2 - log_g / m_N) - minus_N).clamp_min(0.0)


def best_log_g(kappa: float, m_N: torch.Tensor) -> torch.Tensor:
    """ln g of the smallest bound for each distance, κ in (0, 1): the bound is G_m(κ) there."""
    return -m_N * quantile(kappa) - m_N.square() / 2


@dataclass(frozen=True)
class Distances:
    """Distances of everything that was released, so that nothing is estimated: the ceiling is of these records.

    m_N: in standard deviations of the noise. weights_N: what each counts for in the mean, in proportion. A record
    counts for its scored tokens where the figure is a share of all tokens; alike where it is a share of records.
    """

    m_N: torch.Tensor
    weights_N: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if not len(self.m_N):
            raise ValueError("nothing was released")
        if not (bool(torch.isfinite(self.m_N).all()) and float(self.m_N.min()) >= 0.0):
            raise ValueError("a distance is a finite number, 0 or more")

    def ceiling(self, kappa: float) -> float:
        """min over g of gκ + mean E_g(m), at most 1: the success with the release of whoever has κ without it.

        The sum is convex in g, and its slope is known: bisection. Whatever g it ends with, the bound holds.
        """
        if kappa in (0.0, 1.0):
            return kappa
        m_N = self.m_N.double().clamp_min(SMALLEST)
        best_N = best_log_g(kappa, m_N)
        lowest, highest = float(best_N.min()), float(best_N.max())
        for _ in range(HALVINGS):
            log_g = (lowest + highest) / 2
            chance = self._mean(torch.special.ndtr(-m_N / 2 - log_g / m_N))
            lowest, highest = (log_g, highest) if chance > kappa else (lowest, log_g)
        return min(1.0, self.at(highest, kappa))

    def at(self, log_g: float, kappa: float) -> float:
        """gκ + mean E_g(m), g = exp(log_g): valid for every g, whatever the release was."""
        return math.exp(log_g) * kappa + self._mean(hockey_stick(log_g, self.m_N))

    def gain(self) -> float:
        """mean of 2Φ(m/2) − 1: no attacker's success rises by more, whatever κ is."""
        return self._mean(torch.erf(self.m_N.double() / math.sqrt(8)))

    def _mean(self, values_N: torch.Tensor) -> float:
        if self.weights_N is None:
            return float(values_N.mean())
        weights_N = self.weights_N.double()
        return float((values_N * weights_N).sum() / weights_N.sum())


def of_pairs(kappa: float, m: float) -> float:
    """κ + (1 − κ)(2Φ(m/2) − 1), where any two releases that could be confused are at most m apart."""
    return kappa + (1 - kappa) * advantage(m)


def odds(m: float) -> float:
    """exp(m²/2 + 1.645 m): the odds on the true record rise by more in at most 5 % of releases at distance m."""
    return math.exp(m * m / 2 + 1.6448536269514722 * m)
