"""Charges a data party's rows for the hidden states that are about to leave. Shapes: B rows, L tokens, D hidden."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache

import torch

from splitcore.boundary.release import Accountant, Reach, Sending
from splitcore.boundary.stages import At


class Releases:
    """One run's. A release is told from another by its noised values: sent again, they tell nothing more."""

    def __init__(
        self, accountant: Accountant, squared: Callable[[int], float], numbers: Sequence[int], reach: Reach
    ) -> None:
        """`squared`: of a row of so many tokens. `numbers`: row of the half → its number at the accountant."""
        self._accountant, self._squared, self._numbers, self._reach = accountant, cache(squared), numbers, reach

    def charge(self, tensor_BLD: torch.Tensor, at: At, needed: Sequence[bool]) -> None:
        """Of the rows that are `needed`; returns once that is on disk.

        Public prompts are nobody's rows, but behind a head that rows train they tell of those.

        Raises AppError CL-1570, CL-1820: then nothing may leave.
        """
        rows = at.rows if at.rows is not None else at.held_out
        if not any(needed) or (rows is None and self._reach is Reach.OWN):
            return
        values_BLD, mask_BL = tensor_BLD.cpu(), at.mask_BL.cpu().bool()
        sendings = []
        for place, length in enumerate(at.lengths()):
            if needed[place]:
                number = self._numbers[rows[place]] if rows is not None else None
                digest = _digest(values_BLD[place, mask_BL[place]])
                sendings.append(Sending(number, self._squared(length), digest))
        self._accountant.charge(sendings)


def _digest(values_LD: torch.Tensor) -> bytes:
    """16 bytes, whatever the number format."""
    return hashlib.sha256(values_LD.contiguous().view(torch.uint8).numpy().tobytes()).digest()[:16]
