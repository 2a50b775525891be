"""The standard normal distribution, and how far two of them are apart. Numbers, torch-free.

Of a test between N(0, 1) and N(m, 1), which is what a release at distance m (in standard deviations of its noise) from
a reference comes down to.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_STANDARD = NormalDist()


def cdf(x: float) -> float:
    """Φ(x), exact in the lower tail too."""
    return 0.5 * math.erfc(-x / math.sqrt(2))


def quantile(p: float) -> float:
    """Φ⁻¹(p); infinite at 0 and 1."""
    if p in (0.0, 1.0):
        return math.copysign(math.inf, p - 0.5)
    return _STANDARD.inv_cdf(p)


def hockey_stick(log_g: float, m: float) -> float:
    """E_g(m) = sup over tests f of f under N(m, 1) less g times f under N(0, 1).

    Where a tail is below the smallest number it is left out, which makes the result larger.
    """
    if m == 0.0:
        return max(0.0, -math.expm1(min(log_g, 0.0)))
    tail = cdf(-m / 2 - log_g / m)
    return max(0.0, cdf(m / 2 - log_g / m) - (math.exp(log_g + math.log(tail)) if tail else 0.0))


def tradeoff(kappa: float, m: float) -> float:
    """G_m(κ) = Φ(Φ⁻¹(κ) + m): the most that a test finds under N(m, 1) if it is right by chance κ under N(0, 1)."""
    return cdf(quantile(kappa) + m)


def advantage(m: float) -> float:
    """2Φ(m/2) − 1, the total variation: the most that any success rises by, whatever it was."""
    return math.erf(m / math.sqrt(8))
