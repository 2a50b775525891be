"""The loss, the same on every side: a sum over target tokens, divided by the tokens of the whole step."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from splitcore.data.tokenise import IGNORED


def loss_sum(logits_BLV: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies of the next tokens, in fp32. B rows, L tokens, V vocabulary."""
    predicted = logits_BLV[:, :-1].float().flatten(0, 1)
    return cross_entropy(predicted, labels_BL[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")
