"""What an attack finds in the transcript of other records: what all records share, and luck (torch)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from random import Random

import torch

from splitcore.attacks.figures import RESAMPLES, Truth, figures_of, token_share
from splitcore.attacks.measured import Figures, Interval

PARTNERS = 8  # records of about the same length whose guesses are scored against a record
SHUFFLES = 20

Guesses = Sequence[torch.Tensor]
Pairs = Sequence[tuple[int, int]]  # whose guess, whose truth


def null_figures(guesses: Guesses, truths: Sequence[Truth], *, common: Collection[int], seed: int) -> Figures | None:
    """Each crossing's truth against the guesses of several other records. None where no two records differ."""
    partners = _partners(truths)
    if partners is None:
        return None
    pairs = [(other, place) for place, others in partners.items() for other in others]
    figures = figures_of([guesses[a] for a, _ in pairs], [truths[b] for _, b in pairs], common=common, seed=seed)
    return figures.model_copy(update={"tokens": _interval(guesses, truths, pairs, figures.tokens.value, seed)})


def shuffled(guesses: Guesses, truths: Sequence[Truth], *, seed: int) -> list[float]:
    """The share of tokens in each of several derangements: every record is scored against another one's guesses.

    Records change places with others of about their length, so that it is no matter of lengths. ValueError where no
    two records differ.
    """
    places, draw = _by_length(truths), Random(seed)  # noqa: S311 - pairings, no secret
    drawn = [pairs for _ in range(SHUFFLES) if (pairs := _derangement(places, truths, draw))]
    if not drawn:
        raise ValueError("no two records differ")
    return [token_share([guesses[a] for a, _ in pairs], [truths[b] for _, b in pairs]) for pairs in drawn]


def _derangement(places: Sequence[int], truths: Sequence[Truth], draw: Random) -> Pairs:
    """Whose guess, whose truth: within groups of like lengths, whose borders move from draw to draw."""
    size = PARTNERS + 1
    borders = [0, *range(draw.randrange(2, size + 1), len(places) - 1, size), len(places)]
    pairs = list[tuple[int, int]]()
    for begin, end in pairwise(borders):
        cycle = list(places[begin:end])
        draw.shuffle(cycle)
        pairs += zip(cycle, [*cycle[1:], *cycle[:1]], strict=True)
    return [(a, b) for a, b in pairs if _differ(truths[a], truths[b])]


def _interval(guesses: Guesses, truths: Sequence[Truth], pairs: Pairs, value: float, seed: int) -> Interval:
    """The share's interval where records are drawn again both as guesses and as truths (Owen, 2007).

    A guess serves several records, so that pairs drawn for themselves would give too narrow an interval.
    """
    own = sorted({truths[place].record for pair in pairs for place in pair})
    records = {record: number for number, record in enumerate(own)}
    hits, counts = list[float](), list[float]()
    for a, b in pairs:
        hit, count = truths[b].compared(guesses[a])
        hits.append(hit)
        counts.append(count)
    hit_P, count_P = torch.tensor(hits, dtype=torch.float64), torch.tensor(counts, dtype=torch.float64)
    one_P = torch.tensor([records[truths[a].record] for a, _ in pairs])
    other_P = torch.tensor([records[truths[b].record] for _, b in pairs])
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(records), (RESAMPLES, len(records)), generator=generator)
    times = torch.zeros(RESAMPLES, len(records), dtype=torch.float64)
    times.scatter_add_(1, drawn, torch.ones_like(drawn, dtype=torch.float64))
    weight = times[:, one_P] * times[:, other_P]
    total = weight @ count_P
    shares = ((weight @ hit_P) / total)[total > 0].sort().values
    low, high = (float(shares[int(len(shares) * at)]) for at in (0.025, 0.975))
    return Interval(value=value, low=low, high=high)


def _partners(truths: Sequence[Truth]) -> dict[int, list[int]] | None:
    """For each crossing that counts, the places of others that do: other records, other text, the nearest lengths.

    What is guessed of a row that the observer knows is that row, and no chance.
    """
    by_length = _by_length(truths)
    found = {place: _nearest(by_length, rank, truths) for rank, place in enumerate(by_length)}
    return dict(sorted(found.items())) if all(found.values()) else None


def _by_length(truths: Sequence[Truth]) -> list[int]:
    """The places of crossings of which a token counts."""
    counting = [place for place, truth in enumerate(truths) if bool(truth.scored_N.any())]
    return sorted(counting, key=lambda place: len(truths[place].ids_N))


def _nearest(by_length: Sequence[int], rank: int, truths: Sequence[Truth]) -> list[int]:
    own, found = truths[by_length[rank]], list[int]()
    for distance in range(1, len(by_length)):
        for other in (rank - distance, rank + distance):
            if 0 <= other < len(by_length) and _differ(truths[by_length[other]], own):
                found.append(by_length[other])
        if len(found) >= PARTNERS:
            break
    return found[:PARTNERS]


def _differ(one: Truth, other: Truth) -> bool:
    return one.record != other.record and not torch.equal(one.ids_N, other.ids_N)
