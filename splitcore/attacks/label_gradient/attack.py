"""The attack `label_gradient` (torch). Shapes: B rows, L tokens of the longest, N tokens of a row, D hidden."""

from __future__ import annotations

from itertools import groupby

import torch
from torch.nn.utils.rnn import pad_sequence

from splitcore.attacks.interface import UNKNOWN, Knowledge
from splitcore.attacks.label_gradient.tail import ObservedTail, Received
from splitcore.attacks.transcript import Crossing, Transcript
from splitcore.data.tokenise import IGNORED


class LabelGradientAttack:
    """The y whose gradient, by the last layers as the observer has them, points as the one that crossed does."""

    def __init__(self, *, steps: int, follows: bool) -> None:
        self._steps, self._follows = steps, follows

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`. Raises AppError CL-1108."""
        tail = ObservedTail(knowledge.plan, transcript, steps=self._steps, follows=self._follows)
        guesses = [torch.full((len(row.hidden_ND),), UNKNOWN) for row in transcript.crossings]
        trained = [place for place, row in enumerate(transcript.crossings) if row.gradient_ND is not None]
        for step, places in groupby(trained, key=lambda place: transcript.crossings[place].step):
            labelled = list[tuple[Received, torch.Tensor]]()
            for _, batch in groupby(places, key=lambda place: transcript.crossings[place].micro):
                own = list(batch)
                received = _received([transcript.crossings[place] for place in own])
                token_BL, counts_BL = tail.read(received)
                labelled.append((received, torch.where(counts_BL, token_BL, IGNORED)))
                for place, token_L in zip(own, token_BL, strict=True):
                    guesses[place][1:] = token_L[: len(guesses[place]) - 1]
            tail.train(step, labelled)
        return guesses


def _received(rows: list[Crossing]) -> Received:
    """The micro-batch of these rows, padded as it was."""
    mask_BL = pad_sequence([torch.ones(len(row.hidden_ND), dtype=torch.int64) for row in rows], batch_first=True)
    hidden_BLD = pad_sequence([row.output_ND for row in rows if row.output_ND is not None], batch_first=True)
    gradient_BLD = pad_sequence([row.gradient_ND for row in rows if row.gradient_ND is not None], batch_first=True)
    return Received(rows[0].step, rows[0].micro, mask_BL, hidden_BLD, gradient_BLD)
