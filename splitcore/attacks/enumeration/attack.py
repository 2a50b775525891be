"""The attack `enumeration` (torch). Shapes: N tokens of a row, D hidden, E crossings of a row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from functools import partial

import torch

from splitcore.attacks.enumeration.law import law_of
from splitcore.attacks.enumeration.prefixes import Prefixes, goes_on_from_a_cache
from splitcore.attacks.enumeration.search import Received, Search
from splitcore.attacks.enumeration.table import tables_of
from splitcore.attacks.enumeration.whole import WholeRows
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.transcript import Crossing, Transcript

ROWS = 128  # rows read at once


class EnumerationAttack:
    """argmax over the tokens, from left to right, of the likelihood of the vector at each place."""

    def __init__(self, beam: int, candidates: int) -> None:
        self._beam, self._candidates = beam, candidates

    @torch.no_grad()
    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`."""
        drifts = knowledge.plan.settings.config.lora.train_head
        groups = _same_rows(transcript.crossings, frozen=not drifts)
        cached = goes_on_from_a_cache(knowledge.head, len(knowledge.embedding))
        law = law_of(knowledge, cached=cached)
        tables = tables_of(knowledge, law, cached=cached)
        search = Search(law, tables, beam=self._beam, candidates=self._candidates, drifts=drifts)
        unclipped = WholeRows(law, knowledge)
        guesses = [torch.zeros(0, dtype=torch.int64)] * len(transcript.crossings)
        groups.sort(key=lambda places: len(transcript.crossings[places[0]].hidden_ND))
        for start in range(0, len(groups), ROWS):
            part = groups[start : start + ROWS]
            rows = [_received([transcript.crossings[place].hidden_ND for place in places]) for places in part]
            empty = Prefixes.empty(knowledge.head, len(rows), cached=cached)
            found = unclipped.ids(rows, partial(search.ids, empty=empty))
            for places, ids_N in zip(part, found, strict=True):
                for place in places:
                    guesses[place] = ids_N
        return guesses


def _same_rows(crossings: Sequence[Crossing], *, frozen: bool) -> list[list[int]]:
    """The places of crossings by row: of a head that is not trained, and where the rows' numbers are told."""
    groups = defaultdict[Hashable, list[int]](list)
    for place, one in enumerate(crossings):
        told = frozen and one.row is not None and not one.evaluation
        groups[("row", one.row, len(one.hidden_ND)) if told else place].append(place)
    return list(groups.values())


def _received(hidden: Sequence[torch.Tensor]) -> Received:
    """The mean of a row's releases. What differs between them is independent, and of it 1 / E is left."""
    hidden_END = torch.stack(list(hidden))
    if len(hidden) == 1:
        return Received(hidden_END[0])
    between = float(hidden_END.var(0).mean())
    return Received(hidden_END.mean(0), between * (1 - 1 / len(hidden)), releases=len(hidden))
