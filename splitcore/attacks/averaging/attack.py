"""The attack `averaging` (torch). Shapes: N tokens of a row, D hidden, E releases of a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from splitcore.attacks.averaging.visits import rows_of
from splitcore.attacks.interface import Attack, Knowledge
from splitcore.attacks.transcript import Transcript


@dataclass
class OfMeans(Knowledge):
    """An observer's own releases are means of as many as those that it attacks."""

    times: int = 1

    def released(self, rows: Sequence[torch.Tensor], *, draw: int = 0) -> list[torch.Tensor]:
        """See `Knowledge.released`."""
        drawn = [Knowledge.released(self, rows, draw=draw * self.times + time) for time in range(self.times)]
        return [torch.stack(of_row).mean(0) for of_row in zip(*drawn, strict=True)]


class AveragingAttack:
    """What differs between the releases of a row is independent noise: of its variance, 1 / E is left in the mean."""

    def __init__(self, inner: Attack) -> None:
        self._inner = inner

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`. Raises AppError as the attack does that reads the means."""
        crossings, groups = transcript.crossings, defaultdict[int, list[int]](list)
        for place, row in enumerate(rows_of(transcript, knowledge.plan)):
            groups[row].append(place)
        released = [_distinct([crossings[place].hidden_ND for place in places]) for places in groups.values()]
        times = sorted(map(len, released))[len(released) // 2]
        means = [
            replace(crossings[places[0]], hidden_ND=torch.stack(own[:times]).mean(0))
            for places, own in zip(groups.values(), released, strict=True)
        ]
        known = {
            group: knowledge.known[places[0]]
            for group, places in enumerate(groups.values())
            if places[0] in knowledge.known
        }
        observer = OfMeans(
            knowledge.plan, knowledge.party, knowledge.auxiliary, known, seed=knowledge.seed, times=times
        )
        read = self._inner.guess(replace(transcript, crossings=means), observer)
        found = {place: guess_N for places, guess_N in zip(groups.values(), read, strict=True) for place in places}
        return [found[place] for place in range(len(crossings))]


def _distinct(releases: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Copies count once: where a row has one release, there is nothing to average."""
    kept = list[torch.Tensor]()
    for hidden_ND in releases:
        if not any(torch.equal(hidden_ND, other_ND) for other_ND in kept):
            kept.append(hidden_ND)
    return kept
