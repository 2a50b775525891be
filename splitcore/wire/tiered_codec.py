"""Gradients in tiers (torch): the tokens with the most energy get the most bits, those with the least none.

Shapes: N tokens of a tensor, D values of each.

Most of a gradient's energy is in few tokens: those that the loss counts, and of them the surprising ones. At an equal
number of bits the error is least where bits go where the energy is (reverse water-filling, Cover and Thomas, 10.3).
The tokens without bits are many and alike, so that what they add to an adapter's gradient is more than their energy
says: each is decoded as the mean of them all.
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch

from splitcore.wire.formats import GROUP_FORMATS, TieredFormat, group_size
from splitcore.wire.group_codec import GroupCodec, rotate, turned_back
from splitcore.wire.mean_vector import MeanVector
from splitcore.wire.messages import Buffer, FrameError, Payload
from splitcore.wire.packing import bytes_of, pack, unpack
from splitcore.wire.rounding import NEAREST, Draw

PLACES = GROUP_FORMATS["int2"]  # tiers are packed like codes of two bits


class TieredCodec:
    """See `formats.TieredFormat`."""

    def __init__(self, format_: TieredFormat) -> None:
        self.name, self._format = format_.name, format_
        self._codecs = [GroupCodec(GROUP_FORMATS[tier]) for tier in format_.tiers]

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The packed form of `tensor` (…, D)."""
        tokens = prod(tensor.shape[:-1])
        rotated_NG = rotate(tensor, draw)
        rotated_ND = rotated_NG.reshape(tokens, len(rotated_NG) // max(1, tokens) * rotated_NG.shape[1])
        order_N = torch.linalg.vector_norm(rotated_ND, dim=1).argsort(descending=True, stable=True)
        tiers_N = torch.empty(tokens, dtype=torch.uint8, device=rotated_ND.device)
        parts = torch.split(order_N, list(self._format.counts(tensor.shape)))
        for tier, part in enumerate(parts):
            tiers_N[part] = tier
        buffers: list[Buffer] = [bytes_of(pack(tiers_N, PLACES))]
        sorted_ND = rotated_ND.index_select(0, tiers_N.argsort(stable=True))
        for codec, part_ND in zip(self._codecs, torch.split(sorted_ND, [len(part) for part in parts]), strict=False):
            buffers += codec.rounded(part_ND.reshape(-1, rotated_NG.shape[1]), draw)
        values_ND = tensor.detach().reshape(tokens, tensor.shape[-1])
        buffers += MeanVector.of(values_ND.index_select(0, parts[-1]).to(torch.float32)).buffers
        return Payload(self.name, tuple(tensor.shape), tuple(buffers))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """fp32 values (…, D), the mean for the tokens without bits. Raises FrameError CL-1311."""
        shape, counts, size = payload.shape, self._format.counts(payload.shape), group_size(payload.shape[-1])
        packed = torch.from_numpy(np.frombuffer(payload.buffers[0], np.uint8).copy()).to(device or "cpu")
        tiers_N = unpack(packed, prod(shape[:-1]), PLACES)
        if torch.bincount(tiers_N, minlength=4).tolist() != list(counts):
            raise FrameError("CL-1311", "The tiers of a gradient's tokens are not those of its shape.")
        share = -(-shape[-1] // size)  # groups of a token
        parts = [
            codec.doubled(payload.buffers[1 + 3 * tier : 4 + 3 * tier], counts[tier] * share, size, device)
            for tier, codec in enumerate(self._codecs)
        ]
        turned_NG = turned_back(torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]), draw)
        turned_ND = turned_NG.reshape(-1, share * size)[:, : shape[-1]]
        values_ND = MeanVector.read(payload.buffers[-2:], tiers_N.device).vector.repeat(prod(shape[:-1]), 1)
        values_ND.index_copy_(0, tiers_N.argsort(stable=True)[: len(turned_ND)], turned_ND)
        return values_ND.reshape(shape)
