"""How much of the text an attack has read (torch). Shapes: N tokens of a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil

import torch

from splitcore.attacks.measured import Figures, Interval

RESAMPLES = 1000
WORST = 0.01  # the share of records that are read best, of which a figure of their own is told
ENOUGH_FOR_WORST = 200  # records: of fewer, the best 1 % is a single one


@dataclass(frozen=True)
class Truth:
    """What one crossing's row really was. `scored`: which of its tokens count; `record`: whose crossing it is.

    is_bag: of an upload, each token of the batch once. Then no token has a place, and the share is the F1 of the two
    sets (ROUGE-1), so that a guess of everything is no good one.
    """

    ids_N: torch.Tensor
    scored_N: torch.Tensor
    record: int
    is_bag: bool = False

    def compared(self, guess: torch.Tensor, plain: torch.Tensor | None = None) -> tuple[float, float]:
        """Hits, and of how many; of tokens that aren't `plain` alone, where that is given. A bag's count is halved."""
        if self.is_bag:
            own, others = self.ids_N[self.scored_N], self.ids_N[~self.scored_N]
            guess = guess[~torch.isin(guess, others)].unique()
            if plain is not None:
                own, guess = own[~torch.isin(own, plain)], guess[~torch.isin(guess, plain)]
            return float(torch.isin(own, guess).sum()), (len(own) + len(guess)) / 2
        counts_N = self.scored_N if plain is None else self.scored_N & ~torch.isin(self.ids_N, plain)
        return float(((fitted(guess, len(self.ids_N)) == self.ids_N) & counts_N).sum()), float(counts_N.sum())


def figures_of(
    guesses: Sequence[torch.Tensor], truths: Sequence[Truth], *, common: Collection[int] = (), seed: int = 0
) -> Figures:
    """Score guesses (N,) of crossings; the crossings of a record are one in what is drawn again.

    `common`: ids of tokens that are not rare; without any, nothing is known of which are. A guess may be shorter or
    longer than its row. The intervals come from drawing whole records again with replacement, since tokens of a record
    hang together. Raises ValueError where no token counts.
    """
    hits, counts = defaultdict[int, float](float), defaultdict[int, float](float)
    rare_hits, rare_counts = defaultdict[int, float](float), defaultdict[int, float](float)
    overlaps = list[float]()
    plain = torch.tensor(sorted(common), dtype=torch.int64)
    for guess, truth in zip(guesses, truths, strict=True):
        if not bool(truth.scored_N.any()):
            hits[truth.record] += 0.0
            continue
        hit, count = truth.compared(guess)
        rare_hit, rare_count = truth.compared(guess, plain)
        hits[truth.record] += hit
        counts[truth.record] += count
        rare_hits[truth.record] += rare_hit
        rare_counts[truth.record] += rare_count
        overlaps.append(hit / count if truth.is_bag else _overlap(guess, truth))
    counted = [record for record in hits if counts[record]]
    if not counted:
        raise ValueError("there is no token to be guessed")
    shares = sorted((hits[record] / counts[record] for record in counted), reverse=True)
    best = shares[: ceil(WORST * len(shares))]
    tokens = _interval([hits[r] for r in counted], [counts[r] for r in counted], seed)
    has_rare = [r for r in counted if rare_counts[r]] if common else []
    rare = _interval([rare_hits[r] for r in has_rare], [rare_counts[r] for r in has_rare], seed) if has_rare else None
    return Figures(
        tokens=tokens,
        rare=rare,
        exact=sum(share == 1.0 for share in shares) / len(shares),
        worst=sum(best) / len(best) if len(shares) >= ENOUGH_FOR_WORST else None,
        rouge_l=sum(overlaps) / len(overlaps),
        records=len(counted),
        counted=int(sum(counts.values())),
    )


def token_share(guesses: Sequence[torch.Tensor], truths: Sequence[Truth]) -> float:
    """The share of the tokens that count which is guessed at its place."""
    compared = [
        truth.compared(guess) for guess, truth in zip(guesses, truths, strict=True) if bool(truth.scored_N.any())
    ]
    hits, counted = sum(hit for hit, _ in compared), sum(count for _, count in compared)
    if not counted:
        raise ValueError("there is no token to be guessed")
    return hits / counted


def fitted(guess_N: torch.Tensor, length: int) -> torch.Tensor:
    """A guess cut off, or filled up with what is no token, to a row's length."""
    fitted_N = torch.full((length,), -1, dtype=torch.int64)
    fitted_N[: len(guess_N)] = guess_N[:length]
    return fitted_N


def _overlap(guess: torch.Tensor, truth: Truth) -> float:
    """ROUGE-L of the tokens that count."""
    guess_N = fitted(guess, len(truth.ids_N))
    return rouge_l(guess_N[truth.scored_N].tolist(), truth.ids_N[truth.scored_N].tolist())


def rouge_l(guess: Sequence[int], truth: Sequence[int]) -> float:
    """F1 of the longest common subsequence (Lin, 2004), over token ids."""
    if not guess or not truth:
        return 0.0
    return 2 * common_length(guess, truth) / (len(guess) + len(truth))


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the longest common subsequence, a whole row of its table at a time (Hyyrö, 2004).

    Bit i of `flat` is 1 where the row of the table stays the same from column i to column i + 1.
    """
    places = defaultdict[int, int](int)
    for place, token in enumerate(other):
        places[token] |= 1 << place
    every = (1 << len(other)) - 1
    flat = every
    for token in one:
        met = flat & places[token]
        flat = ((flat + met) | (flat - met)) & every
    return len(other) - flat.bit_count()


def _interval(hits: Sequence[float], counts: Sequence[float], seed: int) -> Interval:
    """The share over all, with the 2.5 and 97.5 % points over draws of records."""
    hit, count = torch.tensor(hits, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64)
    drawn = torch.randint(len(hits), (RESAMPLES, len(hits)), generator=torch.Generator().manual_seed(seed))
    shares = (hit[drawn].sum(1) / count[drawn].sum(1)).sort().values
    low, high = (float(shares[int(RESAMPLES * at)]) for at in (0.025, 0.975))
    return Interval(value=float(hit.sum() / count.sum()), low=low, high=high)
