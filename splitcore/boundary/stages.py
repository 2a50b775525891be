"""The stages of a boundary: applied to a tensor where it leaves, and undone where it arrives.

Shapes: B rows of a micro-batch, L tokens, D hidden, N real tokens of its rows, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from splitcore.boundary.finite import Finite
from splitcore.errors import AppError
from splitcore.wire.protocol.messages import Phase

MADE_BY = {Phase.HEAD_UP: "head", Phase.BODY_DOWN: "body", Phase.TAIL_UP: "tail", Phase.BODY_GRAD_DOWN: "body"}


@dataclass(frozen=True)
class At:
    """The micro-batch that a tensor belongs to.

    `rows`: its row numbers at the data party; none in an evaluation. `held_out`: those of an evaluation's rows; none of
    public prompts. `ids_BL`: its token ids, only where a data party protects what leaves.
    """

    step: int
    micro: int
    mask_BL: torch.Tensor
    rows: tuple[int, ...] | None = None
    held_out: tuple[int, ...] | None = None
    ids_BL: torch.Tensor | None = None

    def lengths(self) -> list[int]:
        """Real tokens of each row."""
        return [int(count) for count in self.mask_BL.sum(dim=1)]

    def numbers(self) -> tuple[int, ...]:
        """Its rows' numbers. Raises AppError CL-1309 where it has none."""
        if self.rows is None:
            raise AppError("CL-1309", "A micro-batch arrived without its row numbers.")
        return self.rows


class Stage(Protocol):
    """One operation on every tensor that crosses. `back` undoes `out` at the other end."""

    def out(self, tensor: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """Towards the wire: values only, outside autograd."""
        ...

    def back(self, tensor: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """From the wire."""
        ...


class ClientStage:
    """A method or a defence at a data party's side of the cut, in its graph. This one does nothing."""

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """The tensor (B, L, D) as the other half may see it; the gradient flows back through it."""
        return tensor_BLD

    def loss(self, hidden_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> torch.Tensor | None:
        """A sum to minimise alongside the task's loss, over the same tokens; its gradient joins the head's.

        `hidden_BLD`: what leaves, after every stage. Only in training.
        """
        return None

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """Its own parameters by name: optimised with the adapter and kept in checkpoints, but never released."""
        return {}


class Pack:
    """Padding stays here: only real tokens (N, D) cross, and the other end fills in zeros."""

    def out(self, tensor: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """(B, L, D) → (N, D)."""
        return tensor[at.mask_BL.bool()]

    def back(self, tensor: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """(N, D) → (B, L, D). Raises AppError CL-1309."""
        real_BL = at.mask_BL.to(tensor.device).bool()
        if tensor.dim() != 2 or len(tensor) != int(real_BL.sum()):
            raise AppError("CL-1309")
        spread_BLD = tensor.new_zeros(*at.mask_BL.shape, tensor.shape[-1])
        spread_BLD[real_BL] = tensor
        return spread_BLD


class Judge:
    """Values that aren't finite are found where they arise, before they are remembered; zeros cross instead."""

    def __init__(self, finite: Finite) -> None:
        self._finite = finite

    def out(self, tensor: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """The tensor, or zeros in its place."""
        return self._finite.checked(tensor, MADE_BY[phase])

    def back(self, tensor: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """Unchanged: the wire's limits have already checked it."""
        return tensor
