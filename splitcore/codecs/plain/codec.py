"""Plain numbers to bytes and back (torch)."""

from __future__ import annotations

import torch

from splitcore.codecs.packing import bytes_of, tensor_of
from splitcore.codecs.payload import Payload
from splitcore.codecs.rounding import NEAREST, Draw

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "i64": torch.int64, "u8": torch.uint8}


class PlainCodec:
    """A tensor's values as they are, cast to one number type."""

    def __init__(self, name: str) -> None:
        self.name, self._dtype = name, DTYPES[name]

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """See `Codec.encode`."""
        plain = tensor.detach().to(device="cpu", dtype=self._dtype).contiguous()
        return Payload(self.name, tuple(plain.shape), (bytes_of(plain),))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """See `Codec.decode`."""
        return tensor_of(payload.buffers, payload.shape, self._dtype)
