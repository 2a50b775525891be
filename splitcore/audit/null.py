"""What an attack finds in the transcript of other records: what all records share, and luck (torch)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from random import Random
from statistics import fmean

import torch

from splitcore.attacks.figures import Truth, figures_of, token_share
from splitcore.attacks.measured import Figures

PARTNERS = 8  # records of about the same length whose guesses are scored against a record
SHUFFLES = 20

Guesses = Sequence[torch.Tensor]


def null_figures(guesses: Guesses, truths: Sequence[Truth], *, common: Collection[int], seed: int) -> Figures | None:
    """Each crossing's truth against the guesses of several other records. None where no two records differ."""
    partners = _partners(truths)
    if partners is None:
        return None
    pairs = [(other, place) for place, others in partners.items() for other in others]
    return figures_of([guesses[a] for a, _ in pairs], [truths[b] for _, b in pairs], common=common, seed=seed)


def shuffled(guesses: Guesses, truths: Sequence[Truth], *, seed: int) -> float:
    """The mean share of tokens over several draws of one partner for each. ValueError where no two records differ."""
    partners = _partners(truths)
    if partners is None:
        raise ValueError("no two records differ")
    draw = Random(seed)  # noqa: S311 - pairings, no secret
    own = [truths[place] for place in partners]
    return fmean(
        token_share([guesses[draw.choice(others)] for others in partners.values()], own) for _ in range(SHUFFLES)
    )


def _partners(truths: Sequence[Truth]) -> dict[int, list[int]] | None:
    """For each crossing that counts, the places of others that do: other records, other text, the nearest lengths.

    What is guessed of a row that the observer knows is that row, and no chance.
    """
    counting = [place for place, truth in enumerate(truths) if bool(truth.scored_N.any())]
    by_length = sorted(counting, key=lambda place: len(truths[place].ids_N))
    found = {place: _nearest(by_length, rank, truths) for rank, place in enumerate(by_length)}
    return dict(sorted(found.items())) if all(found.values()) else None


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
