"""Passing head and tail from client to client: the weights and, for the next in turn, the optimiser's moments."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from splitcore.codecs.tensors import decode, decode_all
from splitcore.config import TrainingSection
from splitcore.errors import AppError
from splitcore.masking.seals import Seals
from splitcore.optimise.optimiser import SEPARATOR, Optimiser, moment_shapes
from splitcore.wire.protocol.messages import Message

Tensors = dict[str, torch.Tensor]

SEALED = "sealed"  # the one tensor of an encrypted message


def handed_over(parameters: Mapping[str, nn.Parameter], optimiser: Optimiser, *, moments: bool) -> Tensors:
    """Weights and moments as sent. The step count is the run's and isn't sent."""
    tensors: Tensors = dict(parameters)
    if not moments:
        return tensors
    state = optimiser.state()
    return tensors | {key: value for key, value in state.items() if not key.endswith(f"{SEPARATOR}step")}


def received(
    parameters: Mapping[str, nn.Parameter],
    training: TrainingSection,
    message: Message,
    seals: Seals | None,
    *,
    sender: str,
    needs_moments: bool,
) -> Tensors:
    """What `sender` handed over, with the optimiser's moments if this party trains on with them.

    Raises AppError CL-1539 where it was sealed, and was altered or lacks the moments.
    """
    if seals is None:
        return decode_all(message.tensors)
    weights = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    moments = moment_shapes(weights, training)
    tensors = seals.opened(sender, message.step, decode(message.tensors[SEALED]), weights, moments)
    if needs_moments and not moments.keys() <= tensors.keys():
        text = f"The adapter that {sender} handed on lacks the optimiser's moments, with which training goes on here."
        raise AppError("CL-1539", text, f"Ask {sender} for the reason.", details={"party": sender})
    return tensors


def take_over(
    parameters: Mapping[str, nn.Parameter], optimiser: Optimiser, tensors: Tensors, *, done: int, moments: bool
) -> None:
    """Continue from what another client trained up to `done` completed steps."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])
    if not moments:
        return
    state = {key: value for key, value in tensors.items() if SEPARATOR in key}
    steps = {f"{name}{SEPARATOR}step": torch.tensor(float(done)) for name in parameters} if state else {}
    optimiser.restore(state | steps)
