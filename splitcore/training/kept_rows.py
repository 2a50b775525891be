"""A frozen head's activations, kept by the server so that each row crosses once (SplitFrozen, arXiv 2503.18986).

The client keeps the same list of rows without their values: it knows what the server has, sends nothing of those rows
and computes nothing for them. The values are kept exactly as they were received.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from pathlib import Path

import torch

from splitcore.errors import AppError
from splitcore.training.row_cache import RowCache
from splitcore.wire.codecs import decode, encode
from splitcore.wire.messages import Payload


class KeptRows:
    """The first crossing of a run whose head is frozen, at either end."""

    def __init__(self, width: int, format_: str, *, limit: int, holds: bool, folder: Path | None) -> None:
        """`holds`: whether the values are kept here (at the server)."""
        self._format, self._holds = format_, holds
        dtype = torch.bfloat16 if format_ == "bf16" else torch.float32
        self._cache = RowCache(width, dtype, limit=limit, folder=folder if holds else None)

    def __contains__(self, row: int) -> bool:
        return row in self._cache

    def mask(self, rows: Sequence[int]) -> torch.Tensor:
        """The mask (B, L) of rows that are all kept, padded on the right. Raises AppError CL-1313."""
        if not all(row in self._cache for row in rows):
            raise AppError("CL-1313", "The other half takes other rows for known ones.")
        lengths = [self._cache.tokens(row) for row in rows]
        return (torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)).to(torch.int64)

    def send(self, rows: Sequence[int], lengths: Sequence[int], tensor_ND: torch.Tensor) -> dict[str, Payload]:
        """The rows that the server lacks; those are noted as kept from now on."""
        fresh = [row not in self._cache for row in rows]
        fresh_N = torch.repeat_interleave(torch.tensor(fresh), torch.tensor(lengths))
        for row, length in zip(rows, lengths, strict=True):
            self._cache.admit(row, length)
        return {"hidden": encode(tensor_ND[fresh_N.to(tensor_ND.device)], self._format)} if any(fresh) else {}

    def receive(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        tensors: Mapping[str, Payload],
        device: torch.device | str,
    ) -> torch.Tensor:
        """The rows' real tokens (N, D), from the message or from memory. Raises AppError CL-1309, 1313."""
        fresh = [row not in self._cache for row in rows]
        if ("hidden" in tensors) != any(fresh):
            raise AppError("CL-1313", "The other half takes other rows for known ones.")
        expected = list(compress(lengths, fresh))
        came_ND = decode(tensors["hidden"]) if any(fresh) else torch.zeros(0)
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
