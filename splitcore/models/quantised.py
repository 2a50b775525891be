"""Frozen linear layers whose weights are held in 8 or 4 bits: dequantised when used, in forward and in backward.

The layers are subclasses of the stock ones, so that PEFT places LoRA on them as on any linear layer.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from splitcore.models.carve import find_layers
from splitcore.models.number_formats import FORMATS, NumberFormat


class _FrozenLinear(torch.autograd.Function):
    """x·Wᵀ + b with W frozen. Autograd keeps no copy of the dequantised W between forward and backward."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, layer: QuantisedLinear | QuantisedConv1D) -> torch.Tensor:
        ctx.layer = layer
        return nn.functional.linear(inputs, layer.held.matrix(), layer.bias)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return gradients[0] @ ctx.layer.held.matrix(), None


class HeldMatrix(nn.Module):
    """A matrix OI in a number format, its parts as buffers; `matrix` gives it back in `dtype`."""

    def __init__(self, weight_OI: torch.Tensor, number_format: NumberFormat) -> None:
        super().__init__()
        self.shape = (int(weight_OI.shape[0]), int(weight_OI.shape[1]))
        self.dtype = weight_OI.dtype
        self._format = number_format
        for name, part in number_format.pack(weight_OI).items():
            self.register_buffer(name, part)

    def matrix(self) -> torch.Tensor:
        """The dequantised matrix OI."""
        return self._format.unpack(dict(self.named_buffers(recurse=False)), self.shape, self.dtype)

    def nbytes(self) -> int:
        """Bytes in which the matrix is held."""
        return sum(part.numel() * part.element_size() for part in self.buffers())


class QuantisedLinear(nn.Linear):
    """A frozen linear layer in a number format."""

    def __init__(self, stock: nn.Linear, number_format: NumberFormat) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = stock.in_features, stock.out_features
        self.held = HeldMatrix(stock.weight.detach(), number_format)
        self.register_parameter("bias", stock.bias)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The dequantised matrix OI, made anew at each call: changing it changes nothing."""
        return self.held.matrix()

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Inputs *I to outputs *O."""
        output: torch.Tensor = _FrozenLinear.apply(input, self)  # type: ignore[no-untyped-call]
        return output


class QuantisedConv1D(Conv1D):
    """GPT-2's frozen linear layer in a number format; stock weights lie as inputs × outputs."""

    def __init__(self, stock: Conv1D, number_format: NumberFormat) -> None:
        nn.Module.__init__(self)
        self.nf, self.nx = stock.nf, stock.nx
        self.held = HeldMatrix(stock.weight.detach().t(), number_format)
        self.register_parameter("bias", stock.bias)

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """The dequantised matrix IO, made anew at each call: changing it changes nothing."""
        return self.held.matrix().t()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs *I to outputs *O."""
        output: torch.Tensor = _FrozenLinear.apply(x, self)  # type: ignore[no-untyped-call]
        return output


def quantise_layers(model: nn.Module, total: int, scheme: str) -> None:
    """Replace the linear modules inside the decoder layers, one at a time; `scheme` none leaves the model as it is.

    Embedding, norms, output head and fused experts keep their format.
    """
    if scheme == "none":
        return
    _, layers = find_layers(model, total)
    for module in list(layers.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, QuantisedLinear(child, FORMATS[scheme]))
            elif type(child) is Conv1D:
                setattr(module, name, QuantisedConv1D(child, FORMATS[scheme]))
