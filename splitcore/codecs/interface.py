"""What a codec must provide: its byte layout (without torch), encoding and decoding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from splitcore.codecs.payload import Buffer, Payload

if TYPE_CHECKING:
    import torch

    from splitcore.codecs.rounding import Draw


class Codec(Protocol):
    """One encoding of tensors."""

    def encode(self, tensor: torch.Tensor, draw: Draw) -> Payload:
        """The encoded form. It may share the tensor's memory: `Channel.send` copies it before it returns."""
        ...

    def decode(self, payload: Payload, draw: Draw, device: torch.device | str | None) -> torch.Tensor:
        """A new tensor of the codec's own number type, on `device` if the codec computes there, else on the CPU."""
        ...


class WireFormat(Protocol):
    """The byte layout of one codec. Torch-free, except for `codec`."""

    name: str
    integer: bool

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Bytes of each buffer of a tensor of `shape`."""
        ...

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """Whether every value is finite and in [low, high] (floats: magnitude at most `high`)."""
        ...

    def codec(self) -> Codec:
        """The encoder and decoder; imports torch."""
        ...
