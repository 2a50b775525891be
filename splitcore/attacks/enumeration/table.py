"""The cheap filter: the head's output for every token after other prefixes, moved by what the prefix at hand changes.

What a prefix adds to the output at the next place depends little on the token there. So the outputs after a few random
prefixes, computed once, and one shift per prefix rank the vocabulary well.

Shapes: S prefixes, V vocabulary, D hidden.
"""

from __future__ import annotations

import torch

from splitcore.attacks.enumeration.law import Law
from splitcore.attacks.enumeration.prefixes import Prefixes
from splitcore.attacks.interface import Knowledge

CONTEXTS, LENGTH = 4, 8  # random prefixes over which a table is the mean
PAIRS = 16_384  # of a prefix and a token: fewer prefixes with a large vocabulary


class Table:
    """The head's output for each token (V, D), up to a shift."""

    def __init__(self, base_VD: torch.Tensor, law: Law) -> None:
        self.base_VD, self._law = base_VD, law
        self._square_V = base_VD.square().sum(1)

    def log_density(self, received_SD: torch.Tensor, shift_SD: torch.Tensor, variance_SV: torch.Tensor) -> torch.Tensor:
        """ln p(received) around sent(base + shift), for every token (S, V), by products of matrices alone.

        variance_SV: of each number; (S, 1) where it is the same for all tokens.
        """
        shift_S1, received_S1 = shift_SD.square().sum(1, keepdim=True), received_SD.square().sum(1, keepdim=True)
        norm_SV = (self._square_V + 2 * shift_SD @ self.base_VD.t() + shift_S1).clamp_min(0).sqrt()
        factor_SV = self._law.factor(norm_SV)
        along_SV = received_SD @ self.base_VD.t() + (received_SD * shift_SD).sum(1, keepdim=True)
        square_SV = received_S1 - 2 * factor_SV * along_SV + (factor_SV * norm_SV).square()
        return self._law.log_density(square_SV.clamp_min(0), variance_SV, received_SD.shape[1])


def tables_of(knowledge: Knowledge, law: Law, *, cached: bool) -> tuple[Table, Table]:
    """The exact one of the first place, and the one of all later places."""
    vocabulary = len(knowledge.embedding)
    first = Prefixes.empty(knowledge.head, 1, cached=cached)
    contexts = max(1, min(CONTEXTS, PAIRS // vocabulary))
    ids_SL = torch.randint(vocabulary, (contexts, LENGTH), generator=torch.Generator().manual_seed(knowledge.seed))
    later, places_S = Prefixes.empty(knowledge.head, contexts, cached=cached), torch.arange(contexts)
    for tokens_S in ids_SL.t():
        later = later.extended(places_S, tokens_S)
    return Table(_outputs(first, 0, vocabulary), law), Table(
        torch.stack([_outputs(later, place, vocabulary) for place in range(contexts)]).mean(0), law
    )


def _outputs(prefixes: Prefixes, place: int, vocabulary: int) -> torch.Tensor:
    """(V, D) after one prefix."""
    return prefixes.states(torch.full((vocabulary,), place), torch.arange(vocabulary))
