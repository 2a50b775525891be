"""What a secret's numbers are drawn for: one row's release, the same whenever the same values leave (torch)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from splitcore.boundary.stages import At


@dataclass(frozen=True)
class RowDraw:
    """A row of a micro-batch by its place, which of its positions are real (L,), and what names the release."""

    place: int
    real_L: torch.Tensor
    name: bytes


def place_name(at: At, place: int) -> str:
    """Where a row stands: the same in each evaluation, and never the same for a row and for a public prompt.

    Whoever writes the public prompts could otherwise guess a row, and see that its noise is the row's.
    """
    if at.rows is not None:
        return f"row {at.rows[place]}"
    if at.held_out is not None:
        return f"held out {at.held_out[place]}"
    return f"prompt {place} at turn {at.micro}"


def row_draws(hidden_BLD: torch.Tensor, at: At) -> Iterator[RowDraw]:
    """Of each row but those that were not computed, since the server has them: their values are zeros."""
    for place, values_LD in enumerate(hidden_BLD.detach().cpu().float()):
        real_L = at.mask_BL[place].cpu().bool()
        values_ND = values_LD[real_L].contiguous()
        if values_ND.any():
            yield RowDraw(place, real_L, place_name(at, place).encode() + b"\0" + values_ND.numpy().tobytes())
