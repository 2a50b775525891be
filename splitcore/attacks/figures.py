"""How much of the text an attack recovered (torch)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch

RESAMPLES = 1000


@dataclass(frozen=True)
class Figures:
    """Token accuracy, exact by position, with the 95 % interval over records."""

    accuracy: float
    low: float
    high: float
    records: int
    tokens: int


def token_accuracy(
    guesses: Sequence[torch.Tensor], truth: Sequence[torch.Tensor], *, ignored: Collection[int] = (), seed: int = 0
) -> Figures:
    """The share of tokens guessed at their position; `ignored`: ids of padding and template.

    The interval comes from resampling whole records with replacement, since a record's tokens are correlated.
    """
    hits, counts = [], []
    for guess_N, true_N in zip(guesses, truth, strict=True):
        counted_N = torch.tensor([int(token) not in ignored for token in true_N])
        hits.append(int(((guess_N == true_N) & counted_N).sum()))
        counts.append(int(counted_N.sum()))
    if not sum(counts):
        raise ValueError("there is no token to be guessed")
    hit, count = torch.tensor(hits, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64)
    drawn = torch.randint(len(hits), (RESAMPLES, len(hits)), generator=torch.Generator().manual_seed(seed))
    shares = (hit[drawn].sum(1) / count[drawn].sum(1).clamp_min(1)).sort().values
    low, high = (float(shares[int(RESAMPLES * at)]) for at in (0.025, 0.975))
    return Figures(float(hit.sum() / count.sum()), low, high, len(hits), int(count.sum()))
