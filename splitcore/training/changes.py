"""Temporal delta of activations: what changed of a row since its last visit (AQ-SGD, arXiv 2206.01299).

Both ends keep m, the activations of each row as the receiver knows them. The first visit sends Q(h), and m becomes
that; a later visit sends Q'(h − m), and m becomes m + Q'(h − m) at both ends. Training moves h little from one epoch to
the next, so that h − m is small and a coarse Q' loses little: its error shrinks with the change itself.

m is made by elementwise operations on decoded payloads alone, which give the same bits on every device, and a
checksum of the m that a message builds on travels with it: the two ends cannot drift apart unnoticed.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import compress

import torch

from splitcore.errors import AppError
from splitcore.training.row_cache import RowCache
from splitcore.wire.codecs import decode, encode
from splitcore.wire.messages import Payload

FIRST, CHANGE, CHECK = "hidden", "changes", "check"


class Changes:
    """One crossing of activations, at either end."""

    def __init__(self, cache: RowCache, *, first: str, then: str) -> None:
        """`first` and `then`: formats of a row's first visit and of the changes at later ones."""
        self.cache, self._first, self._then = cache, first, then

    def send(self, rows: Sequence[int], lengths: Sequence[int], tensor_ND: torch.Tensor) -> dict[str, Payload]:
        """The tensors of a message; `tensor_ND` holds the rows' real tokens one after the other."""
        known, known_N = self._known(rows, lengths)
        tensors: dict[str, Payload] = {}
        before_ND = None
        if not all(known):
            tensors[FIRST] = encode(tensor_ND[~known_N] if any(known) else tensor_ND, self._first)
        if any(known):
            before_ND, tensors[CHECK] = self._before(rows, known)
            before_ND = before_ND.to(tensor_ND.device)
            known_ND = tensor_ND if all(known) else tensor_ND[known_N]
            tensors[CHANGE] = encode(known_ND.float() - before_ND, self._then)
        self._take(rows, lengths, known_N, tensors, before_ND, tensor_ND.device)
        return tensors

    def receive(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        tensors: Mapping[str, Payload],
        device: torch.device | str,
    ) -> torch.Tensor:
        """The rows' real tokens (N, D), fp32. Raises AppError CL-1309, and CL-1313 where the ends have drifted."""
        known, known_N = self._known(rows, lengths)
        if (FIRST in tensors) == all(known) or (CHANGE in tensors) != any(known) or (CHECK in tensors) != any(known):
            raise AppError("CL-1313", "The other half takes other rows for known ones.")
        before_ND = None
        if any(known):
            before_ND, mine = self._before(rows, known)
            if bytes(tensors[CHECK].buffers[0]) != bytes(mine.buffers[0]):
                raise AppError("CL-1313")
            before_ND = before_ND.to(device)
        return self._take(rows, lengths, known_N, tensors, before_ND, device)

    def _known(self, rows: Sequence[int], lengths: Sequence[int]) -> tuple[list[bool], torch.Tensor]:
        """Which rows, and which of their tokens, have been here before."""
        known = [row in self.cache for row in rows]
        for row, length, is_known in zip(rows, lengths, known, strict=True):
            if is_known and self.cache.tokens(row) != length:
                raise AppError("CL-1313", "A row has another length than at its last visit.")
        return known, torch.repeat_interleave(torch.tensor(known), torch.tensor(lengths))

    def _before(self, rows: Sequence[int], known: Sequence[bool]) -> tuple[torch.Tensor, Payload]:
        """m of the known rows, and its checksum as a tensor to send."""
        before_ND = self.cache.get(compress(rows, known))
        check = zlib.crc32(before_ND.reshape(-1).view(torch.uint8).numpy().data)
        return before_ND, Payload("u8", (4,), (check.to_bytes(4, "big"),))

    def _take(
        self,
        rows: Sequence[int],
        lengths: Sequence[int],
        known_N: torch.Tensor,
        tensors: Mapping[str, Payload],
        before_ND: torch.Tensor | None,
        device: torch.device | str,
    ) -> torch.Tensor:
        """What the receiver knows of the rows now; it becomes the new m of each."""
        known_N = known_N.to(device)
        parts: list[tuple[torch.Tensor, torch.Tensor]] = []
        if FIRST in tensors:
            parts.append((~known_N, decode(tensors[FIRST], device=device, dtype=torch.float32)))
        if CHANGE in tensors and before_ND is not None:
            change_ND = decode(tensors[CHANGE], device=device, dtype=torch.float32)
            if change_ND.shape != before_ND.shape:
                raise AppError("CL-1309")
            parts.append((known_N, change_ND.add_(before_ND)))
        if any(int(which_N.sum()) != len(values) for which_N, values in parts):
            raise AppError("CL-1309")
        now_ND = parts[0][1]
        if len(parts) > 1:
            now_ND = torch.empty(len(known_N), now_ND.shape[-1], device=device)
            for which_N, values in parts:
                now_ND[which_N] = values
        kept_ND = now_ND.to(device="cpu", dtype=self.cache.dtype)  # at once: many small casts take longer
        for row, values_TD in zip(rows, torch.split(kept_ND, list(lengths)), strict=True):
            self.cache.put(row, values_TD)
        return now_ND
