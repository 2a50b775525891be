"""The attack `completion` (torch). Shapes: N tokens of a row, D hidden, V vocabulary."""

from __future__ import annotations

import torch

from splitcore.attacks.interface import UNKNOWN, Knowledge
from splitcore.attacks.transcript import Transcript
from splitcore.models.carve import Segment


class CompletionAttack:
    """argmax of the public tail's logits on the body's output."""

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`."""
        guesses = [torch.full((len(row.hidden_ND),), UNKNOWN) for row in transcript.crossings]
        for guess_N, row in zip(guesses, transcript.crossings, strict=True):
            if row.output_ND is not None:
                guess_N[1:] = _likeliest(knowledge.tail, row.output_ND)[:-1]
        return guesses


@torch.no_grad()
def _likeliest(tail: Segment, output_ND: torch.Tensor) -> torch.Tensor:
    """The next token (N,) of each position."""
    mask_1N = torch.ones(1, len(output_ND), dtype=torch.int64)
    logits_1NV = tail(mask_1N, hidden_BLD=output_ND.to(tail.dtype).unsqueeze(0))
    return logits_1NV[0].argmax(1)
