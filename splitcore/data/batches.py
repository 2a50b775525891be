"""Padding to tensors. Shapes: B rows, L tokens of the longest row in the micro-batch; padded on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from splitcore.data.tokenise import IGNORED, Encoded


@dataclass(frozen=True)
class Batch:
    """One micro-batch: ids, mask (1 for real tokens) and labels (IGNORED where the loss does not count).

    `rows`: the rows' numbers at the data party; none of public prompts.
    """

    ids_BL: torch.Tensor
    mask_BL: torch.Tensor
    labels_BL: torch.Tensor
    rows: tuple[int, ...] | None = None

    @property
    def targets(self) -> int:
        """Number of tokens that the loss counts."""
        return int((self.labels_BL[:, 1:] != IGNORED).sum())

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
    return Batch(ids_BL, mask_BL, labels_BL, None if numbers is None else tuple(numbers))


def padding_id(tokenizer: object) -> int:
    """The id that fills a row up: the tokenizer's own, else its end, else 0 (it is masked in any case)."""
    for name in ("pad_token_id", "eos_token_id"):
        token = getattr(tokenizer, name, None)
        if isinstance(token, int):
            return token
    return 0
