"""Gradients in tiers (torch): the tokens with the most energy get four bits, those with the least none.

Shapes: N tokens of a tensor, D values of each.

Most of a gradient's energy is in few tokens: those that the loss counts, and of them the surprising ones. At an equal
number of bits the error is least where bits go where the energy is (reverse water-filling, Cover and Thomas, 10.3).
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from splitcore.wire.formats import GROUP_FORMATS, TIERED
from splitcore.wire.group_codec import GroupCodec
from splitcore.wire.messages import FrameError, Payload
from splitcore.wire.packing import bytes_of, pack, unpack
from splitcore.wire.rounding import NEAREST, Draw

PLACES = GROUP_FORMATS["int2"]  # tiers are packed like codes of two bits


class TieredCodec:
    """See `formats.TieredFormat`."""

    name = TIERED.name

    def __init__(self) -> None:
        self._codecs = [GroupCodec(GROUP_FORMATS[tier]) for tier in TIERED.tiers]

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The packed form of `tensor` (…, D)."""
        values_ND = tensor.detach().to(torch.float32).reshape(-1, tensor.shape[-1])
        order_N = torch.linalg.vector_norm(values_ND, dim=1).argsort(descending=True, stable=True)
        tiers_N = torch.empty(len(order_N), dtype=torch.uint8, device=values_ND.device)
        parts = torch.split(order_N, list(TIERED.counts(tensor.shape)))
        for tier, part in enumerate(parts):
            tiers_N[part] = tier
        buffers = [bytes_of(pack(tiers_N, PLACES))]
        sorted_ND = values_ND.index_select(0, tiers_N.argsort(stable=True))
        for codec, part_ND in zip(self._codecs, torch.split(sorted_ND, [len(part) for part in parts]), strict=False):
            buffers += codec.encode(part_ND, draw).buffers  # type: ignore[arg-type]
        return Payload(self.name, tuple(tensor.shape), tuple(buffers))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """fp32 values (…, D), zeros for the tokens without bits. Raises FrameError CL-1311."""
        shape, counts = payload.shape, TIERED.counts(payload.shape)
        packed = torch.from_numpy(np.frombuffer(payload.buffers[0], np.uint8).copy()).to(device or "cpu")
        tiers_N = unpack(packed, prod(shape[:-1]), PLACES)
        if torch.bincount(tiers_N, minlength=4).tolist() != list(counts):
            raise FrameError("CL-1311", "The tiers of a gradient's tokens are not those of its shape.")
        parts = [torch.zeros(counts[-1], shape[-1], device=tiers_N.device)]
        for tier in reversed(range(len(self._codecs))):
            part = Payload(TIERED.tiers[tier], (counts[tier], shape[-1]), payload.buffers[1 + 3 * tier : 4 + 3 * tier])
            parts.insert(0, self._codecs[tier].decode(part, draw, device) if counts[tier] else parts[0][:0])
        sorted_ND = torch.cat(parts)
        values_ND = torch.empty_like(sorted_ND).index_copy_(0, tiers_N.argsort(stable=True), sorted_ND)
        return values_ND.reshape(shape)
