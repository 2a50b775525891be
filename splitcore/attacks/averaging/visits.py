"""Which crossings are of one row, where that isn't told (torch).

The order of rows follows from the run's public seed and from how many there are. The observer tries every number: with
the right one, the crossings of a row are equally long and lie nearest to each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import torch

from splitcore.attacks.transcript import Crossing, Transcript
from splitcore.data.sampling import Sampler
from splitcore.run.plan import RunPlan

CHANCE = 1e-3  # that lengths fit so well by chance, over all numbers tried
NEAR = 0.8  # of the mean square between any two crossings of one length
MOST = 2 / 3  # of the crossings are rows at most: with more of them, most would have crossed once


def rows_of(transcript: Transcript, plan: RunPlan) -> list[int]:
    """A number for each crossing, the same for those of one row; a number of its own where no other one is."""
    crossings = transcript.crossings
    trained = [place for place, one in enumerate(crossings) if not one.evaluation]
    alone = [-1 - place for place in range(len(crossings))]
    if all(crossings[place].row is not None for place in trained):
        told = {place: crossings[place].row for place in trained}
        return [alone[place] if (row := told.get(place)) is None else row for place in range(len(crossings))]
    tried = [_numbered(crossings, trained, transcript.party, plan, rows) for rows in _counts(len(trained))]
    scored = [(scatter, numbers) for numbers in tried if (scatter := _scatter(crossings, trained, numbers)) is not None]
    if not scored:
        return alone
    scatter, numbers = min(scored, key=lambda one: one[0])
    if not _is_certain([crossings[place].hidden_ND for place in trained], numbers, scatter, len(tried)):
        return alone
    best = dict(zip(trained, numbers, strict=True))
    return [best.get(place, alone[place]) for place in range(len(crossings))]


def _is_certain(hidden: Sequence[torch.Tensor], numbers: Sequence[int], scatter: float, tried: int) -> bool:
    """Whether so many crossings would hardly be equally long, or as near, by chance."""
    lengths = Counter(map(len, hidden))
    alike = sum((count / len(hidden)) ** 2 for count in lengths.values())
    if tried * alike ** (len(numbers) - len(set(numbers))) < CHANCE:
        return True
    ordered = sorted(hidden, key=len)
    others = [float((one - other).square().mean()) for one, other in pairwise(ordered) if one.shape == other.shape]
    return bool(others) and scatter < NEAR * sum(others) / len(others)


def _counts(crossings: int) -> range:
    return range(1, int(crossings * MOST) + 1)


def _numbered(crossings: Sequence[Crossing], trained: Sequence[int], party: str, plan: RunPlan, rows: int) -> list[int]:
    """Each crossing's row, were there so many."""
    training = plan.settings.config.for_party(party).training
    sampler = Sampler(rows, training.batch_size, seed=training.seed, party=party, shuffle=training.shuffle)
    size, found, batches = training.batch_size // training.micro_batches, list[int](), dict[int, list[int]]()
    for place in trained:
        one = crossings[place]
        if one.step not in batches:
            batches[one.step] = sampler.batch(plan.own_step(party, one.step))
        found.append(batches[one.step][one.micro * size + one.place])
    return found


def _scatter(crossings: Sequence[Crossing], trained: Sequence[int], numbers: Sequence[int]) -> float | None:
    """Mean square of the difference between crossings of a row; None where they differ in length."""
    groups = defaultdict[int, list[torch.Tensor]](list)
    for place, number in zip(trained, numbers, strict=True):
        groups[number].append(crossings[place].hidden_ND)
    pairs = [pair for own in groups.values() for pair in pairwise(own)]
    if not pairs or any(one_ND.shape != other_ND.shape for one_ND, other_ND in pairs):
        return None
    return sum(float((one_ND - other_ND).square().mean()) for one_ND, other_ND in pairs) / len(pairs)
