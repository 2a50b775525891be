"""The global gradient norm of a split model, equal to the unsplit model's to the last bit.

A norm of the segments' norms is not: its sum is grouped otherwise. So each side gives one fp32 norm per tensor, and
they are stacked in the order of the unsplit model's parameters before the norm is taken of them, as torch does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

ABSENT = -1.0  # stands for a tensor that received no gradient: torch leaves it out of the stack


def tensor_norm(gradient: torch.Tensor) -> torch.Tensor:
    """fp32 norm of one gradient."""
    return torch.linalg.vector_norm(gradient.detach(), 2.0)


def norms_vector(gradients: Mapping[str, torch.Tensor | None], order: Iterable[str]) -> torch.Tensor:
    """One norm per name, ABSENT where there is no gradient."""
    return torch.stack(
        [
            torch.tensor(ABSENT) if (gradient := gradients.get(name)) is None else tensor_norm(gradient).cpu()
            for name in order
        ]
    )


def total_norm(norms: Iterable[torch.Tensor]) -> torch.Tensor:
    """The global norm from the tensors' norms in the unsplit model's order."""
    present = [norm for norm in norms if float(norm) >= 0]
    return torch.linalg.vector_norm(torch.stack(present), 2.0) if present else torch.tensor(0.0)


def clip_coefficient(total: torch.Tensor, clip_norm: float | None) -> torch.Tensor | None:
    """What every gradient is multiplied by, as torch.nn.utils.clip_grad_norm_ does; None for no clipping."""
    if clip_norm is None:
        return None
    return torch.clamp(clip_norm / (total + 1e-6), max=1.0)


def scale(gradients: Iterable[torch.Tensor | None], coefficient: torch.Tensor | None) -> None:
    """Multiply gradients in place."""
    if coefficient is None:
        return
    for gradient in gradients:
        if gradient is not None:
            gradient.mul_(coefficient.to(gradient.device))
