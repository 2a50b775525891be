"""int8 to bytes and back (torch)."""

from __future__ import annotations

import torch

from splitcore.codecs.packing import bytes_of, tensor_of
from splitcore.codecs.payload import Payload
from splitcore.codecs.rounding import NEAREST, Draw


class Int8RowCodec:
    """int8 per token, symmetric: scale = max|x| / 127 over the last dimension; |x − x̂| ≤ scale / 2."""

    name = "int8"

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """See `Codec.encode`."""
        values = tensor.detach().to(device="cpu", dtype=torch.float32)
        scale = values.abs().amax(dim=-1, keepdim=True) / 127
        # a NaN must stay a NaN and not become an integer that the receiver can't recognise as bad
        parts = torch.where(scale > 0, values / scale, torch.zeros_like(values))
        if draw.rounding == "stochastic":
            parts = parts.add_(draw.uniform(tuple(parts.shape), parts.device)).floor_()
        else:
            parts = parts.round()
        whole = parts.clamp(-127, 127).nan_to_num(0).to(torch.int8).contiguous()
        return Payload(self.name, tuple(values.shape), (bytes_of(whole), bytes_of(scale.squeeze(-1).contiguous())))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """See `Codec.decode`."""
        whole = tensor_of(payload.buffers[:1], payload.shape, torch.int8)
        scale = tensor_of(payload.buffers[1:], payload.shape[:-1], torch.float32)
        return whole.to(torch.float32) * scale.unsqueeze(-1)
