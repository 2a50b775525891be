"""The low-bit codecs about a mean (torch): the groups of what is left of each vector without the mean of all.

Shapes: N tokens of a message, D values of each.

The vectors of a message have much in common: measured at the cuts of the demo's model, a fifth to two fifths of their
energy is in their mean. It says nothing about any one token, but would be rounded with each of them, in steps that grow
with it. Sent once, in eight bits, it costs a byte for each of D channels.
"""

from __future__ import annotations

import numpy as np
import torch

from splitcore.wire.group_codec import GroupCodec
from splitcore.wire.messages import Payload
from splitcore.wire.packing import bytes_of
from splitcore.wire.rounding import NEAREST, Draw


class CentredCodec:
    """See `formats.CentredFormat`."""

    def __init__(self, groups: GroupCodec) -> None:
        self.name, self._groups = groups.name, groups

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The packed form of `tensor` (…, D). The mean is rounded first: what it loses, the groups still carry."""
        values_ND = tensor.detach().to(torch.float32).reshape(-1, tensor.shape[-1])
        mean_D = values_ND.mean(dim=0) if len(values_ND) else values_ND.sum(dim=0)
        scale = mean_D.abs().amax() / 127  # a NaN stays one
        whole_D = torch.where(scale > 0, mean_D / scale, 0.0).round_().to(torch.int8)
        inner = self._groups.encode(values_ND.sub(_mean(whole_D, scale)), draw)
        buffers = (*inner.buffers, bytes_of(whole_D), bytes_of(scale.reshape(1)))
        return Payload(self.name, tuple(tensor.shape), buffers)

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """fp32 values (…, D) on `device`, the same bits on every device."""
        values = self._groups.decode(Payload(self.name, payload.shape, payload.buffers[:3]), draw, device)
        whole_D, scale = (
            torch.from_numpy(np.frombuffer(buffer, type_).copy()).to(values.device)
            for buffer, type_ in zip(payload.buffers[3:], ("i1", "<f4"), strict=True)
        )
        return values.add_(_mean(whole_D, scale))


def _mean(whole_D: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The mean as the receiver knows it."""
    return whole_D.to(torch.float32) * scale
