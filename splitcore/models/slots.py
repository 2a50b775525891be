"""Slots: parameter-free stand-ins for the layers that a segment does not own.

The stock model runs as it is. Hidden states enter through a slot that *injects*, leave through one that *taps*, and
pass through the others. Legend of shapes: B batch, L sequence, D hidden.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch
from torch import nn

_PLAIN = (str, int, float, bool, type(None))


class SlotRole(StrEnum):
    """What a slot does with the hidden states that reach it."""

    THROUGH = "through"
    INJECT = "inject"
    TAP = "tap"


class Port:
    """Where hidden states enter and leave one carved model during one forward pass."""

    def __init__(self) -> None:
        self.injected_BLD: torch.Tensor | None = None
        self.tapped_BLD: torch.Tensor | None = None
        self.embedding_width = 0

    def take(self) -> torch.Tensor:
        """The hidden states to inject."""
        if self.injected_BLD is None:
            raise RuntimeError("nothing was given to inject")
        return self.injected_BLD


class Slot(nn.Module):
    """Stands where a stock layer stood and answers with its arity (0: a tensor; n: a tuple of n)."""

    def __init__(self, role: SlotRole, port: Port, arity: int = 0) -> None:
        super().__init__()
        self.slot_role = role
        self.slot_arity = arity
        self._port = port

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Inject, tap or pass."""
        if self.slot_role is SlotRole.INJECT:
            hidden_states = self._port.take()
        elif self.slot_role is SlotRole.TAP:
            self._port.tapped_BLD = hidden_states
        return (hidden_states, *([None] * (self.slot_arity - 1))) if self.slot_arity else hidden_states

    def set_attention_type(self, *args: Any, **kwargs: Any) -> None:
        """Some stock encoders (BigBird) tell every layer how to attend, which is nothing to a slot."""


def slot_for(layer: nn.Module, role: SlotRole, port: Port, arity: int = 0) -> Slot:
    """A slot with the plain attributes of the layer it replaces: a stock forward may ask for them (attention_type)."""
    slot = Slot(role, port, arity)
    for name, value in vars(layer).items():
        if isinstance(value, _PLAIN) and not hasattr(slot, name):
            setattr(slot, name, value)
    for name in ("attention_type", "layer_type"):  # some classes keep them as class attributes
        if not hasattr(slot, name) and isinstance(value := getattr(layer, name, None), str):
            setattr(slot, name, value)
    if isinstance(weight := getattr(layer, "weight", None), torch.Tensor):  # a stock forward may look at it
        slot.__dict__["weight"] = torch.zeros((), dtype=weight.dtype, device=weight.device).expand(weight.shape)
    return slot


def inject_at(layer: nn.Module, port: Port) -> None:
    """Make an owned first layer take its input from the port: there is no earlier position for a slot."""
    stock = type(layer)

    def forward(self: nn.Module, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return stock.forward(self, port.take(), *args, **kwargs)

    layer.__class__ = type(stock.__name__, (stock,), {"forward": forward, "__module__": stock.__module__})


def tap_at(layer: nn.Module, port: Port) -> None:
    """Make an owned last layer leave its output at the port: there is no later position for a slot."""
    stock = type(layer)

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        output = stock.forward(self, *args, **kwargs)
        port.tapped_BLD = output[0] if isinstance(output, (tuple, list)) else output
        return output

    layer.__class__ = type(stock.__name__, (stock,), {"forward": forward, "__module__": stock.__module__})
