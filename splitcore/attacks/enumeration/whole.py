"""Undoing the clip of whole rows (torch): by how much a row was shortened follows from its text, not known yet.

The norm of other text of the same length is a first guess of the row's; the text that is read with it gives a better
one.

Shapes: N tokens of a row, D hidden, L tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from splitcore.attacks.enumeration.law import Law
from splitcore.attacks.enumeration.search import Received
from splitcore.attacks.interface import Knowledge

DRAWN = 32, 64  # rows and tokens of random text, where the observer has none
ROUNDS = 3
CLOSE = 1e-3  # relative change of a factor that makes no difference


class WholeRows:
    """Of a run whose defence clips rows as a whole; of any other, nothing is done."""

    def __init__(self, law: Law, knowledge: Knowledge) -> None:
        self._law, self._knowledge = law, knowledge
        self._square_L = _typical(knowledge) if law.noise.clips == "row" else torch.ones(1)

    def ids(
        self, rows: Sequence[Received], search: Callable[[Sequence[Received]], list[torch.Tensor]]
    ) -> list[torch.Tensor]:
        """What `search` finds in the rows as they were before the clip."""
        if self._law.noise.clips != "row":
            return search(rows)
        factors = [self._factor(self._norm_of(len(row.hidden_ND))) for row in rows]
        for _ in range(ROUNDS):
            found = search([_scaled(row, 1 / factor) for row, factor in zip(rows, factors, strict=True)])
            read = [self._factor(hidden_ND.norm()) for hidden_ND in self._knowledge.undefended(found)]
            if all(abs(new / old - 1) < CLOSE for new, old in zip(read, factors, strict=True)):
                break
            factors = read
        return found

    def _factor(self, norm: torch.Tensor) -> float:
        return float(self._law.row_factor(norm))

    def _norm_of(self, tokens: int) -> torch.Tensor:
        """Of other text of this length."""
        beyond = max(0, tokens - len(self._square_L)) * self._square_L[len(self._square_L) // 2 :].mean()
        return (self._square_L[:tokens].sum() + beyond).sqrt()


def _typical(knowledge: Knowledge) -> torch.Tensor:
    """Mean squared norm of other text's vectors at each place (L,)."""
    drawn = torch.randint(len(knowledge.embedding), DRAWN, generator=torch.Generator().manual_seed(knowledge.seed))
    states = knowledge.undefended(knowledge.own_text()[: DRAWN[0]] or list(drawn))
    square_SL = torch.nn.utils.rnn.pad_sequence(
        [hidden_ND.square().sum(1) for hidden_ND in states], batch_first=True, padding_value=float("nan")
    )
    return square_SL.nanmean(0)


def _scaled(row: Received, scale: float) -> Received:
    return replace(row, hidden_ND=row.hidden_ND * scale, averaged=row.averaged * scale**2, scale=scale)
