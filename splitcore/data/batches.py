"""Padding to tensors. Shapes: B rows, L tokens of the longest row in the micro-batch; padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from splitcore.data.tokenise import IGNORED, Encoded, padding_id

__all__ = ["Batch", "collate", "padding_id"]


@dataclass(frozen=True)
class Batch:
    """One micro-batch: ids, mask (1 for real tokens) and labels (IGNORED where the loss does not count).

    `rows`: the rows' numbers at the data party; none of public prompts. `is_class`: see `Encoded`.
    """

    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    labels_BL: torch.Tensor
    rows: tuple[int, ...] | None = None
    is_class: bool = False

    @property
    def targets(self) -> int:
        """Number of tokens, or of rows with a label, that the loss counts."""
        return int((self.labels_BL[:, 0 if self.is_class else 1 :] != IGNORED).sum())

    @property
    def seen(self) -> int:
        """Number of real tokens."""
        return int(self.mask_BL.sum())


def collate(
    rows: Sequence[Encoded], *, padding: int, device: str = "cpu", numbers: Sequence[int] | None = None
) -> Batch:
    """Pad rows to one length; `numbers` are theirs in the dataset."""
    length = max(len(row.ids) for row in rows)
    ids = [[*row.ids, *[padding] * (length - len(row.ids))] for row in rows]
    mask = [[1] * len(row.ids) + [0] * (length - len(row.ids)) for row in rows]
    labels = [[*row.labels, *[IGNORED] * (length - len(row.ids))] for row in rows]
    ids_BL, mask_BL, labels_BL = (torch.tensor(part, dtype=torch.int64, device=device) for part in (ids, mask, labels))
    own = None if numbers is None else tuple(numbers)
    return Batch(ids_BL, mask_BL, labels_BL, own, is_class=rows[0].is_class)
