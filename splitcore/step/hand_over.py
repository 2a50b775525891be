"""Passing head and tail from client to client: the weights and, for the next in turn, the optimiser's moments."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from splitcore.codecs.tensors import decode, decode_all
from splitcore.optimise.optimiser import SEPARATOR, Optimiser
from splitcore.step.link import TensorsIn
from splitcore.wire.protocol.messages import Message


def handed_over(parameters: Mapping[str, nn.Parameter], optimiser: Optimiser, *, moments: bool) -> TensorsIn:
    """Weights and moments as sent. The step count is the run's and isn't sent."""
    tensors = {name: (parameter, "fp32") for name, parameter in parameters.items()}
    if not moments:
        return tensors
    state = optimiser.state()
    return tensors | {key: (value, "fp32") for key, value in state.items() if not key.endswith(f"{SEPARATOR}step")}


def take_over(
    parameters: Mapping[str, nn.Parameter], optimiser: Optimiser, message: Message, *, done: int, moments: bool
) -> None:
    """Continue from what another client trained up to `done` completed steps."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(decode(message.tensors[name], device=parameter.device))
    if not moments:
        return
    state = {key: value for key, value in decode_all(message.tensors).items() if SEPARATOR in key}
    steps = {f"{name}{SEPARATOR}step": torch.tensor(float(done)) for name in parameters} if state else {}
    optimiser.restore(state | steps)
