"""The attack `label_gradient` (torch). Shapes: B rows, L tokens of the longest, N tokens of a row, D hidden."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn.utils.rnn import pad_sequence

from splitcore.attacks.interface import ROWS, UNKNOWN, Knowledge
from splitcore.attacks.label_gradient.layers import behind
from splitcore.attacks.label_gradient.output_head import OutputHead
from splitcore.attacks.transcript import Transcript
from splitcore.models.carve import Segment
from splitcore.models.loading import load_segment
from splitcore.models.plan import SegmentPlan
from splitcore.run.plan import RunPlan

TOKENS = 64  # compared with the whole vocabulary at once
Pair = tuple[torch.Tensor, torch.Tensor]


class LabelGradientAttack:
    """The y whose gradient, by the public last layers, points as the one that crossed does."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`. Raises AppError CL-1108."""
        layers, head = _public_tail(knowledge.plan)
        guesses = [torch.full((len(row.hidden_ND),), UNKNOWN) for row in transcript.crossings]
        crossed = {
            place: (row.output_ND, row.gradient_ND)
            for place, row in enumerate(transcript.crossings)
            if row.output_ND is not None and row.gradient_ND is not None
        }
        places = sorted(crossed, key=lambda place: len(guesses[place]))  # rows of like lengths have little padding
        for start in range(0, len(places), ROWS):
            batch = places[start : start + ROWS]
            pairs = [crossed[place] for place in batch]
            for place, (entering_ND, gradient_ND) in zip(batch, self._behind(layers, pairs), strict=True):
                guesses[place][1:] = _labels(head, entering_ND, gradient_ND)[:-1]
        return guesses

    def _behind(self, layers: Segment | None, pairs: Sequence[Pair]) -> list[Pair]:
        """What enters the output head, and its gradient."""
        if layers is None:
            return list(pairs)
        lengths = [len(hidden_ND) for hidden_ND, _ in pairs]
        mask_BL = pad_sequence([torch.ones(length, dtype=torch.int64) for length in lengths], batch_first=True)
        hidden_BLD, gradient_BLD = (pad_sequence(list(one), batch_first=True) for one in zip(*pairs, strict=True))
        found = behind(layers, mask_BL, hidden_BLD, gradient_BLD, self._steps)
        return [(x_LD[:n], g_LD[:n]) for x_LD, g_LD, n in zip(*found, lengths, strict=True)]


def _labels(head: OutputHead, entering_ND: torch.Tensor, gradient_ND: torch.Tensor) -> torch.Tensor:
    """(N,): what each position predicts; UNKNOWN without a gradient, where the loss doesn't count."""
    found = [
        head.cosines(entering_TD, gradient_TD).argmax(1)
        for entering_TD, gradient_TD in zip(entering_ND.split(TOKENS), gradient_ND.split(TOKENS), strict=True)
    ]
    return torch.where(gradient_ND.any(1), torch.cat(found), UNKNOWN)


def _public_tail(plan: RunPlan) -> tuple[Segment | None, OutputHead]:
    """The tail's decoder layers, if any, and what stands behind them; in fp32, whatever the run computes in."""
    model, cut = plan.settings.config.model.model_copy(update={"dtype": "float32"}), plan.plans["tail"]
    layers = SegmentPlan("body", cut.start, cut.total, cut.total, embedding=False, output=False)
    bare = SegmentPlan("tail", cut.total, cut.total, cut.total, embedding=False, output=True)
    has_layers = cut.start < cut.total
    return (
        load_segment(plan.folder, layers, model) if has_layers else None,
        OutputHead(load_segment(plan.folder, bare, model)),
    )
