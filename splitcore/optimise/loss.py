"""The loss, the same on every side: a sum over target tokens (or rows with a label), divided by those of the step."""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from splitcore.data.batches import Batch
from splitcore.data.tokenise import IGNORED


def loss_sum(logits_BLV: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies of the next tokens, in fp32. B rows, L tokens, V vocabulary."""
    predicted = logits_BLV[:, :-1].float().flatten(0, 1)
    return cross_entropy(predicted, labels_BL[:, 1:].flatten(), ignore_index=IGNORED, reduction="sum")


def batch_loss_sum(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """The summed loss of a batch: of its next tokens (logits BLV), or of its rows' labels (BLK)."""
    return (class_loss_sum if batch.is_class else loss_sum)(logits, batch.labels_BL)


def class_loss_sum(logits_BLK: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
    """Sum of the cross-entropies of the rows' labels, in fp32: K labels, of which each row has one at one token."""
    counted_BL = labels_BL != IGNORED
    return cross_entropy(logits_BLK[counted_BL].float(), labels_BL[counted_BL], reduction="sum")


def classes_of(logits_BLK: torch.Tensor, labels_BL: torch.Tensor) -> list[int]:
    """The most likely label of each row, at the token where its own stands."""
    return [int(place) for place in logits_BLK[labels_BL != IGNORED].argmax(dim=-1)]
