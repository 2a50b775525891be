"""The low-bit codecs around a mean (torch): groups of each vector's difference from the mean of all.

Shapes: N tokens of a message, D values of each.

The vectors of a message have a large common part. It tells nothing about any token, but would be rounded with each of
them, in steps that grow with it. Sent once, in eight bits, it costs one byte per channel.
"""

from __future__ import annotations

import torch

from splitcore.codecs.groups.codec import GroupCodec
from splitcore.codecs.groups.mean_vector import MeanVector
from splitcore.codecs.payload import Payload
from splitcore.codecs.rounding import NEAREST, Draw


class CentredCodec:
    """See `config.CentredFormat`."""

    def __init__(self, groups: GroupCodec) -> None:
        self.name, self._groups = groups.name, groups

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The packed form of `tensor` (…, D). The mean is rounded first, so the groups still carry what it loses."""
        values_ND = tensor.detach().to(torch.float32).reshape(-1, tensor.shape[-1])
        mean = MeanVector.of(values_ND)
        groups = self._groups.encode(values_ND.sub(mean.vector), draw)
        return Payload(self.name, tuple(tensor.shape), (*groups.buffers, *mean.buffers))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """fp32 values (…, D) on `device`, the same bits on every device."""
        values = self._groups.decode(Payload(self.name, payload.shape, payload.buffers[:3]), draw, device)
        return values.add_(MeanVector.read(payload.buffers[3:], values.device).vector)
