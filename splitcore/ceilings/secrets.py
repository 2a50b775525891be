"""B3s, planted secrets: one of m equally likely values in a carrier, read by the exact Bayes attacker (torch).

κ is 1/m exactly and the carrier is given, so context tells nothing; the values' rows have equal length. No attacker of
any kind is right more often than maximum likelihood over the m values, which is what is drawn here.

Shapes: m values, F numbers of a release (all rows that the value acts on, one after the other).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from splitcore.ceilings.confidence import Hits

NUMBERS = 4_000_000  # of noise at once


def likeliest(released_BF: torch.Tensor, rows_mF: torch.Tensor) -> torch.Tensor:
    """The value under which each of B releases is likeliest, whatever σ is: argmin ‖y − h_v‖ (B,)."""
    return (released_BF @ rows_mF.t() - rows_mF.square().sum(1) / 2).argmax(1)


def bayes(carriers: Sequence[torch.Tensor], deviation: float, *, draws: int, seed: int = 0) -> Hits:
    """How often the exact attacker reads the value: `draws` of a carrier, a value and noise, all independent.

    carriers: clipped rows (m, F) of every value in each carrier; deviation: σ of the noise.
    """
    generator = torch.Generator().manual_seed(seed)
    carrier_N = torch.randint(len(carriers), (draws,), generator=generator)
    hits = 0
    for number, rows in enumerate(carriers):
        rows_mF = rows.double() - rows.double().mean(0)  # what all values share tells nothing
        left = int((carrier_N == number).sum())
        while left:
            count = min(left, max(1, NUMBERS // rows_mF.shape[1]))
            value_B = torch.randint(len(rows_mF), (count,), generator=generator)
            noise_BF = torch.randn(count, rows_mF.shape[1], generator=generator, dtype=torch.float64)
            hits += int((likeliest(rows_mF[value_B] + deviation * noise_BF, rows_mF) == value_B).sum())
            left -= count
    return Hits(hits, draws)
