"""From the gradient in front of decoder layers to the one behind them (torch).

With X the layers' output and Z their input, G = Jᵀ G_X, where J is the layers' Jacobian at Z: as many unknowns as
equations. Conjugate gradients on the normal equations (CGLS) solve for G_X, for every position of a row at once.
Stopping early keeps what the codec added small; where J is badly conditioned, as in a trained model, it also leaves
part unsolved.

Shapes: B rows, L tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from splitcore.models.carve import Segment

SOLVED = 1e-4  # what is left, as a share of ‖G‖
TINY = 1e-30
Map = Callable[[torch.Tensor], torch.Tensor]


def behind(
    layers: Segment, mask_BL: torch.Tensor, hidden_BLD: torch.Tensor, gradient_BLD: torch.Tensor, steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What leaves the layers, and the gradient of that; both (B, L, D)."""
    real_BL1 = mask_BL.bool().unsqueeze(-1)
    received_BLD = hidden_BLD.detach().requires_grad_()
    with sdpa_kernel(SDPBackend.MATH):  # the others have no second derivative
        leaving_BLD = layers(mask_BL, hidden_BLD=received_BLD)
        weights_BLD = torch.zeros_like(leaving_BLD, requires_grad=True)
        (backward_BLD,) = torch.autograd.grad(leaving_BLD, received_BLD, weights_BLD, create_graph=True)

        def back(vectors_BLD: torch.Tensor) -> torch.Tensor:
            """Jᵀ v."""
            (found_BLD,) = torch.autograd.grad(leaving_BLD, received_BLD, vectors_BLD, retain_graph=True)
            return found_BLD * real_BL1

        def forth(vectors_BLD: torch.Tensor) -> torch.Tensor:
            """J v: what is linear in its weights has them as its derivative's own."""
            (found_BLD,) = torch.autograd.grad(backward_BLD, weights_BLD, vectors_BLD, retain_graph=True)
            return found_BLD * real_BL1

        solved_BLD = _least_squares(back, forth, gradient_BLD * real_BL1, steps)
    return leaving_BLD.detach(), solved_BLD


def _least_squares(back: Map, forth: Map, wanted_BLD: torch.Tensor, steps: int) -> torch.Tensor:
    """The v (B, L, D) with `back(v)` ≈ `wanted`, each row by itself (CGLS)."""
    found_BLD = torch.zeros_like(wanted_BLD)
    left_BLD = wanted_BLD.clone()
    slope_BLD = forth(left_BLD)
    way_BLD, size_B11 = slope_BLD, _squared(slope_BLD)
    aim_B11 = SOLVED**2 * _squared(wanted_BLD)
    for _ in range(steps):
        if bool((_squared(left_BLD) <= aim_B11).all()):
            break
        moved_BLD = back(way_BLD)
        length_B11 = size_B11 / _squared(moved_BLD).clamp_min(TINY)
        found_BLD = found_BLD + length_B11 * way_BLD
        left_BLD = left_BLD - length_B11 * moved_BLD
        slope_BLD = forth(left_BLD)
        before_B11, size_B11 = size_B11, _squared(slope_BLD)
        way_BLD = slope_BLD + size_B11 / before_B11.clamp_min(TINY) * way_BLD
    return found_BLD


def _squared(vectors_BLD: torch.Tensor) -> torch.Tensor:
    return vectors_BLD.square().sum((1, 2), keepdim=True)
