"""The update: the norms of all gradients, one coefficient that clips them, one step of the optimiser.

Client, server and the unsplit run call the same function, so that one global step is the same step everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from splitcore.optimise.norms import clip_coefficient, scale
from splitcore.optimise.optimiser import Optimiser


def update(
    parameters: Mapping[str, nn.Parameter],
    gradients: Mapping[str, torch.Tensor | None],
    norm: torch.Tensor,
    *,
    optimiser: Optimiser,
    step: int,
    clip_norm: float | None,
) -> float:
    """Clip `gradients` by the whole model's `norm` and step (from 0); returns the learning rate.

    A parameter without a gradient stays as it is. The gradients are scaled in place, and gone afterwards.
    """
    scale(gradients.values(), clip_coefficient(norm, clip_norm))
    for name, parameter in parameters.items():
        parameter.grad = gradients.get(name)
    return optimiser.step(step)
