"""A frozen head's activations, kept by the server so that each row crosses once (SplitFrozen, arXiv 2503.18986).

The client keeps the same list of rows without their values: it knows what the server has, sends nothing of those rows
and computes nothing for them. The values are kept exactly as they were received. A resumed run
sends the rows once more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress

import torch

from splitcore.boundary.coding import HIDDEN, Coding
from splitcore.boundary.stages import At
from splitcore.caches.choice import CachePlace
from splitcore.caches.rows import RowCache
from splitcore.codecs.payload import Payload
from splitcore.errors import AppError


class ActivationCache(Coding):
    """What goes up from a frozen head, at either end."""

    def __init__(self, place: CachePlace) -> None:
        self._format, self._finite = place.format, place.finite
        dtype = torch.bfloat16 if place.format.codec == "bf16" else torch.float32
        folder = place.folder if place.holds else None
        self._cache = RowCache(place.width, dtype, limit=place.limit, folder=folder)

    def spares(self, row: int) -> bool:
        """See `Coding.spares`."""
        return row in self._cache

    def mask(self, rows: Sequence[int]) -> torch.Tensor:
        """The mask (B, L) of rows that are all kept, padded on the right. Raises AppError CL-1313."""
        if not all(row in self._cache for row in rows):
            raise AppError("CL-1313", "The two halves disagree about which rows are cached.")
        lengths = [self._cache.tokens(row) for row in rows]
        return (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).to(torch.int64)

    def send(self, tensor: torch.Tensor, at: At) -> dict[str, Payload]:
        """The rows (N, D) that the server lacks; those are noted as kept from now on. Raises AppError CL-1311."""
        self._finite.require("a row that is to be kept")
        tensor_ND, rows, lengths = tensor, at.numbers(), at.lengths()
        fresh = [row not in self._cache for row in rows]
        fresh_N = torch.repeat_interleave(torch.tensor(fresh), torch.tensor(lengths))
        for row, length in zip(rows, lengths, strict=True):
            self._cache.admit(row, length)
        return {HIDDEN: self._format.encode(tensor_ND[fresh_N.to(tensor_ND.device)], at)} if any(fresh) else {}

    def receive(self, tensors: Mapping[str, Payload], at: At, device: torch.device | str) -> torch.Tensor:
        """The rows' real tokens (N, D), from the message or from memory. Raises AppError CL-1309, 1313."""
        rows, lengths = at.numbers(), at.lengths()
        fresh = [row not in self._cache for row in rows]
        if (HIDDEN in tensors) != any(fresh):
            raise AppError("CL-1313", "The two halves disagree about which rows are cached.")
        expected = list(compress(lengths, fresh))
        came_ND = self._format.decode(tensors[HIDDEN], at) if any(fresh) else torch.zeros(0)
        if len(came_ND) != sum(expected):
            raise AppError("CL-1309")
        came = iter(torch.split(came_ND, expected) if expected else ())
        parts = [next(came) if is_fresh else self._cache.get([row]) for row, is_fresh in zip(rows, fresh, strict=True)]
        if [len(part) for part in parts] != list(lengths):
            raise AppError("CL-1309")
        for row, part, is_fresh in zip(rows, parts, fresh, strict=True):
            if is_fresh:
                self._cache.put(row, part)
        return torch.cat(parts).to(device)

    def close(self) -> None:
        """Delete what was kept: hidden states can be turned back into text."""
        self._cache.close()
