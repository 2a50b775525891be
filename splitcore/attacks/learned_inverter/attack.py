"""The attack `learned_inverter` (torch). Shapes: N tokens of a row, D hidden."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from splitcore.attacks.classes import fit_classes
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.attacks.learned_inverter.network import trained
from splitcore.attacks.transcript import Transcript
from splitcore.errors import AppError

HELD_OUT = 32  # rows at most; else a tenth


class LearnedInverterAttack:
    """Trained on the releases of the observer's own text under the run's defences, so adapted to them."""

    def __init__(self, choice: LearnedInverter) -> None:
        self._choice = choice

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`. Raises AppError CL-1560."""
        rows = knowledge.own_text(releases=self._choice.releases)
        if len(rows) < 2:
            raise AppError("CL-1560")
        held = max(1, min(HELD_OUT, len(rows) // 10))
        epochs = [list(zip(states, rows, strict=True)) for states in self._releases(knowledge, rows)]
        held_out, learnt = epochs[0][:held], [release[held:] for release in epochs]
        classes = fit_classes([example for release in learnt for example in release], knowledge.embedding)
        if self._choice.kind == "linear":
            return [classes.read(crossing.hidden_ND) for crossing in transcript.crossings]
        inverter = trained(self._choice, classes, learnt, held_out, seed=knowledge.seed)
        return inverter.read([crossing.hidden_ND for crossing in transcript.crossings])

    def _releases(self, knowledge: Knowledge, rows: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
        """Several where they differ."""
        first = knowledge.released(rows)
        few = rows[:2]
        if all(map(torch.equal, knowledge.released(few), knowledge.released(few, draw=1))):
            return [first]
        return [first, *(knowledge.released(rows, draw=draw) for draw in range(1, self._choice.releases))]
