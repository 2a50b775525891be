"""B2, the chain-rule bound: how many nats a release tells per token (torch, double precision).

Give the attacker the true text before each token, too. What the release then tells of the tokens, one after the other,
adds up to what it tells of the record, and that is at most the mean of KL(N(h, σ²I) ‖ N(c, S)), summed over the rows,
for any fixed c and S. So with a mean of i nats per *scored* token

    d(success ‖ κ) ≤ i,  and success ≤ κ + √(i/2)

where κ is the best mean success of a reader of the true prefix without the release (`kappa.Prefix`). It bounds
attackers who know less, too, but never with their own, smaller κ.

Shapes: N rows of a record, D hidden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from splitcore.ceilings.confidence import ALPHA, ROUNDING, mean_lower, mean_upper
from splitcore.ceilings.divergence import highest_success
from splitcore.ceilings.kappa import Prefix


def ceiling(kappa: Prefix, nats: float) -> float:
    """The most that a reader of the true prefix finds with `nats` more per token. Raises TypeError for another's κ."""
    if not isinstance(kappa, Prefix):
        raise TypeError(f"this bound takes the success of a reader of the true prefix, not of {type(kappa).__name__}")
    return float(highest_success(kappa.value, nats))


def gain(nats: float) -> float:
    """√(i/2): the most that any success rises by, whatever κ is."""
    return min(1.0, math.sqrt(nats / 2))


def bits(nats: float) -> float:
    """The same amount in bits."""
    return nats / math.log(2)


@dataclass(frozen=True)
class Reference:
    """N(c, S) for each row, S = σ²(I + spread), with c and S from other text. Lengths are in σ of the noise.

    centre_ND: c/σ by position. spread_DD: covariance of other text's rows about c, over σ²; None for S = σ²I.
    """

    centre_ND: torch.Tensor
    spread_DD: torch.Tensor | None = None

    def nats(self, rows_ND: torch.Tensor) -> float:
        """KL(N(h, I) ‖ N(c, S)) in nats, summed over the rows h/σ (N, D) of a record."""
        offset_ND = rows_ND.double() - self.centre_ND[: len(rows_ND)].double()
        if self.spread_DD is None:
            return float(offset_ND.square().sum()) / 2
        values_D, axes_DD = self._axes
        along_ND = offset_ND @ axes_DD
        return len(rows_ND) * self._fixed(values_D) + float((along_ND.square() / (1 + values_D)).sum()) / 2

    def largest(self, radius: float, length: int, *, whole: bool = False) -> float:
        """What no record of so many rows exceeds, with rows of norm `radius` (over σ) at most.

        `whole`: of that norm together.
        """
        centre_N = self.centre_ND[:length].double().norm(dim=1)
        reach_N = radius * (1 + ROUNDING) + (centre_N.norm() if whole else centre_N)
        if self.spread_DD is None:
            return float(reach_N.square().sum()) / 2
        values_D, _ = self._axes
        fixed, least = self._fixed(values_D), 1 + float(values_D.min())
        return length * fixed + float(reach_N.square().sum()) / (2 * least)

    @cached_property
    def _axes(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Variances along the spread's own axes (a covariance has none below 0), and these axes."""
        assert self.spread_DD is not None
        values_D, axes_DD = torch.linalg.eigh(self.spread_DD.double())
        return values_D.clamp_min(0.0), axes_DD

    @staticmethod
    def _fixed(values_D: torch.Tensor) -> float:
        """½ (ln det(I + spread) + tr (I + spread)⁻¹ − D): what a row at the centre costs."""
        return float((torch.log1p(values_D) - values_D / (1 + values_D)).sum()) / 2


def capacity(radius: float, width: int) -> float:
    """Nats per row that no text exceeds: (D/2) ln(1 + R²/Dσ²), R = `radius` over σ. Needs no data."""
    return width / 2 * math.log1p(radius**2 / width)


def per_token(nats_N: torch.Tensor, scored_N: torch.Tensor) -> float:
    """E[nats of a record] / E[scored tokens], over all records of a population.

    Divided by the tokens that are *scored*, not by all: which ones are scored counts as known, and what the others tell
    may all be of these.
    """
    return float(nats_N.sum()) / float(scored_N.sum())


def per_token_upper(
    nats_N: torch.Tensor, scored_N: torch.Tensor, *, largest: float, longest: int, alpha: float = ALPHA
) -> float:
    """Upper end of `per_token` for the population that N records were drawn from.

    largest: nats that no record exceeds, by the clip. longest: tokens that none exceeds. Raises ValueError where one
    does.
    """
    if float(nats_N.max()) > largest * (1 + ROUNDING) or int(scored_N.max()) > longest:
        raise ValueError("a record tells more, or is longer, than its bound allows")
    count = len(nats_N)
    most = largest * float(mean_upper(float(nats_N.double().mean()) / largest, count, alpha / 2))
    fewest = longest * float(mean_lower(float(scored_N.double().mean()) / longest, count, alpha / 2))
    return most / fewest if fewest else math.inf
