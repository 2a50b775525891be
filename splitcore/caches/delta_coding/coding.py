"""Temporal delta of activations: what changed of a row since its last visit (AQ-SGD, arXiv 2206.01299).

Both ends keep m, the activations of each row as the receiver knows them. The first visit sends Q(h), and m becomes
that; a later visit sends Q'(h − m), and m becomes m + Q'(h − m) at both ends. Training moves h little from one epoch to
the next, so that h − m is small and a coarse Q' loses little: its error shrinks with the change itself.

m is made by elementwise operations on decoded payloads alone, which give the same bits on every device, and a
checksum of the m that a message builds on travels with it: the two ends cannot drift apart unnoticed. m keeps within
the wire's bound of a value, as h does: of changes that are each within it, many could add up to anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import compress

import torch

from splitcore.boundary.coding import HIDDEN, Coding, Format
from splitcore.boundary.stages import At
from splitcore.caches.choice import CachePlace
from splitcore.caches.rows import RowCache
from splitcore.codecs.payload import Payload
from splitcore.errors import AppError
from splitcore.wire.protocol.limits import ABS_MAX

FIRST, CHANGE, CHECK = HIDDEN, "changes", "check"


class DeltaCoding(Coding):
    """The activations of one phase, at either end."""

    def __init__(self, place: CachePlace, codec: str) -> None:
        """`codec`: of the changes; a row's first visit has the phase's own."""
        self.cache = RowCache(place.width, torch.bfloat16, limit=place.limit, folder=place.folder)
        self._first, self._then = place.format, Format(codec)

    # ---- what outlives a message

    def settle(self) -> None:
        """See `Coding.settle`."""
        self.cache.settle()

    def state(self) -> dict[str, torch.Tensor]:
        """See `Coding.state`."""
        return self.cache.state()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `Coding.restore`."""
        self.cache.restore({name: state[name] for name in ("rows", "tokens", "values")})

    def close(self) -> None:
        """See `Coding.close`."""
        self.cache.close()

    # ---- messages

    def send(self, tensor: torch.Tensor, at: At) -> dict[str, Payload]:
        """The tensors of a message; `tensor` (N, D) holds the rows' real tokens one after the other."""
        tensor_ND, rows, lengths = tensor, at.numbers(), at.lengths()
        known, known_N = self._known(rows, lengths)
        tensors: dict[str, Payload] = {}
        before_ND = None
        if not all(known):
            tensors[FIRST] = self._first.encode(tensor_ND[~known_N] if any(known) else tensor_ND, at)
        if any(known):
            before_ND, tensors[CHECK] = self._before(rows, known)
            before_ND = before_ND.to(tensor_ND.device)
            known_ND = tensor_ND if all(known) else tensor_ND[known_N]
            tensors[CHANGE] = self._then.encode(known_ND.float() - before_ND, at)
        self._take(at, known_N, tensors, before_ND, tensor_ND.device)
        return tensors

    def receive(self, tensors: Mapping[str, Payload], at: At, device: torch.device | str) -> torch.Tensor:
        """The rows' real tokens (N, D), fp32. Raises AppError CL-1309, and CL-1313 where the ends have drifted."""
        rows, lengths = at.numbers(), at.lengths()
        known, known_N = self._known(rows, lengths)
        if (FIRST in tensors) == all(known) or (CHANGE in tensors) != any(known) or (CHECK in tensors) != any(known):
            raise AppError("CL-1313", "The two halves disagree about which rows are cached.")
        before_ND = None
        if any(known):
            before_ND, mine = self._before(rows, known)
            if bytes(tensors[CHECK].buffers[0]) != bytes(mine.buffers[0]):
                raise AppError("CL-1313")
            before_ND = before_ND.to(device)
        return self._take(at, known_N, tensors, before_ND, device)

    def _known(self, rows: Sequence[int], lengths: Sequence[int]) -> tuple[list[bool], torch.Tensor]:
        """Which rows, and which of their tokens, have been here before."""
        known = [row in self.cache for row in rows]
        for row, length, is_known in zip(rows, lengths, known, strict=True):
            if is_known and self.cache.tokens(row) != length:
                raise AppError("CL-1313", "A row's length changed since its last visit.")
        return known, torch.repeat_interleave(torch.tensor(known), torch.tensor(lengths))

    def _before(self, rows: Sequence[int], known: Sequence[bool]) -> tuple[torch.Tensor, Payload]:
        """m of the known rows, and its checksum as a tensor to send."""
        before_ND = self.cache.get(compress(rows, known))
        check = zlib.crc32(before_ND.reshape(-1).view(torch.uint8).numpy().data)
        return before_ND, Payload("u8", (4,), (check.to_bytes(4, "big"),))

    def _take(
        self,
        at: At,
        known_N: torch.Tensor,
        tensors: Mapping[str, Payload],
        before_ND: torch.Tensor | None,
        device: torch.device | str,
    ) -> torch.Tensor:
        """What the receiver knows of the rows now; it becomes the new m of each."""
        known_N = known_N.to(device)
        parts: list[tuple[torch.Tensor, torch.Tensor]] = []
        if FIRST in tensors:
            parts.append((~known_N, self._first.decode(tensors[FIRST], at, device=device, dtype=torch.float32)))
        if CHANGE in tensors and before_ND is not None:
            change_ND = self._then.decode(tensors[CHANGE], at, device=device, dtype=torch.float32)
            if change_ND.shape != before_ND.shape:
                raise AppError("CL-1309")
            parts.append((known_N, change_ND.add_(before_ND).clamp_(-ABS_MAX, ABS_MAX)))
        if any(int(which_N.sum()) != len(values) for which_N, values in parts):
            raise AppError("CL-1309")
        now_ND = parts[0][1]
        if len(parts) > 1:
            now_ND = torch.empty(len(known_N), now_ND.shape[-1], device=device)
            for which_N, values in parts:
                now_ND[which_N] = values
        kept_ND = now_ND.to(device="cpu", dtype=self.cache.dtype)  # at once: many small casts take longer
        for row, values_TD in zip(at.numbers(), torch.split(kept_ND, at.lengths()), strict=True):
            self.cache.put(row, values_TD)
        return now_ND
