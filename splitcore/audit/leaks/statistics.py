"""How unlikely a figure would be were all as declared (torch)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

ALARM = 1e-4  # at most this often, a detector finds what isn't there


def poisson_above(count: int, mean: float) -> float:
    """P(X ≥ count) of a Poisson number."""
    if not count:
        return 1.0
    at, rate = torch.tensor(float(count), dtype=torch.float64), torch.tensor(mean, dtype=torch.float64)
    return float(torch.special.gammainc(at, rate))


def chi_square_below(square: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """P(X ≤ square) of a sum of so many squared standard normal numbers."""
    return torch.special.gammainc(numbers.double() / 2, square.double() / 2)


def kolmogorov(values_N: torch.Tensor) -> float:
    """P of so large a distance to the standard normal law, for many independent numbers (Kolmogorov, 1933)."""
    sorted_N = values_N.double().sort().values
    chance_N = torch.special.ndtr(sorted_N)
    places_N = torch.arange(len(sorted_N), dtype=torch.float64)
    count = len(sorted_N)
    distance = max(float((chance_N - places_N / count).max()), float(((places_N + 1) / count - chance_N).max()))
    return min(1.0, 2 * math.exp(-2 * count * distance**2))


def correlated(rows: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Of each two rows (N, D), their inner product in standard deviations (R, R), and its P, for standard normal rows.

    Of rows of different lengths, their common places.
    """
    lengths_R = torch.tensor([len(row) for row in rows])
    longest, width = int(lengths_R.max()), rows[0].shape[1]
    filled_RLD = torch.zeros(len(rows), longest, width)
    for place, row_ND in enumerate(rows):
        filled_RLD[place, : len(row_ND)] = row_ND
    flat_RF = filled_RLD.flatten(1)
    common_RR = torch.minimum(lengths_R[:, None], lengths_R[None, :]) * width
    score_RR = (flat_RF @ flat_RF.t()).double() / common_RR.double().sqrt()
    return score_RR, torch.special.erfc(score_RR.abs() / math.sqrt(2))
