"""Number formats of a frozen base matrix: int8 per output channel, NF4 in blocks of 64 with double quantisation.

Plain torch on any device. Every operation is elementwise or a maximum, so that all machines get the same codes.
Legend of shapes: O outputs, I inputs, N weights of the matrix, K blocks of 64 weights, G groups of 256 blocks.
"""

from __future__ import annotations

from typing import Protocol

import torch

BLOCK = 64  # weights that share a scale (NF4)
GROUP = 256  # scales that share a scale (double quantisation)
# Quantiles of the standard normal distribution: QLoRA (arXiv 2305.14314), appendix E.
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
Parts = dict[str, torch.Tensor]


class NumberFormat(Protocol):
    """How a matrix OI is held: as named parts, all of them buffers of the layer."""

    def pack(self, weight_OI: torch.Tensor) -> Parts:
        """The parts that stand for a matrix."""
        ...

    def unpack(self, parts: Parts, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
        """The matrix OI that the parts stand for."""
        ...


class Int8PerChannel:
    """Symmetric int8 with one fp32 scale per output: w ≈ s·q, s = max|w| ÷ 127 (|error| ≤ s ÷ 2)."""

    def pack(self, weight_OI: torch.Tensor) -> Parts:
        """Codes OI in int8 and scales O in fp32."""
        weight_OI = weight_OI.float()
        scales_O = weight_OI.abs().amax(dim=1) / 127
        codes_OI = (weight_OI / _not_zero(scales_O).unsqueeze(1)).round_().clamp_(-127, 127)
        return {"codes": codes_OI.to(torch.int8), "scales": scales_O}

    def unpack(self, parts: Parts, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
        """Codes times scales, computed in fp32."""
        return (parts["codes"].float() * parts["scales"].unsqueeze(1)).to(dtype)


class NormalFloat4:
    """NF4: each block of 64 weights is a scale times 16 quantiles; the scales are held in 8 bits themselves.

    A block's scale a is its max|w|, held as c + s·q with c the middle of all scales and s one fp32 per 256 blocks:
    4 + 8/64 + 32/(64·256) = 4.127 bits a weight. The codes are chosen for the scale as it is held. QLoRA
    (arXiv 2305.14314) takes the mean for c; the middle needs no sum, whose order would differ between machines.
    """

    def pack(self, weight_OI: torch.Tensor) -> Parts:
        """Codes in uint8 (two each), block scales K in int8, their scales G and middle in fp32."""
        flat_N = weight_OI.float().reshape(-1)
        padded_KB = torch.nn.functional.pad(flat_N, (0, -flat_N.numel() % BLOCK)).view(-1, BLOCK)
        largest_K = padded_KB.abs().amax(dim=1)
        middle = (largest_K.amin() + largest_K.amax()) / 2
        off_K = largest_K - middle
        off_GK = torch.nn.functional.pad(off_K, (0, -off_K.numel() % GROUP)).view(-1, GROUP)
        group_G = off_GK.abs().amax(dim=1) / 127
        scales_K = (off_GK / _not_zero(group_G).unsqueeze(1)).round_().clamp_(-127, 127).to(torch.int8)
        parts = {"scales": scales_K.view(-1)[: off_K.numel()].clone(), "groups": group_G, "middle": middle}
        relative_KB = padded_KB / _not_zero(_block_scales(parts)).unsqueeze(1)
        levels = torch.tensor(NF4, device=flat_N.device)
        codes = torch.bucketize(relative_KB, (levels[1:] + levels[:-1]) / 2).to(torch.uint8).view(-1, 2)
        return {"codes": (codes[:, 0] << 4) | codes[:, 1], **parts}

    def unpack(self, parts: Parts, shape: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
        """Look the codes up, two at a time, and multiply by their block's scale, in fp32."""
        levels = torch.tensor(NF4, device=parts["codes"].device)
        pairs = torch.stack((levels.repeat_interleave(16), levels.repeat(16)), dim=1)
        blocks_KB = pairs.index_select(0, parts["codes"].int()).view(-1, BLOCK)
        flat_N = blocks_KB.mul_(_block_scales(parts).unsqueeze(1)).view(-1)
        return flat_N[: shape[0] * shape[1]].view(shape).to(dtype)


FORMATS: dict[str, NumberFormat] = {"int8": Int8PerChannel(), "int4": NormalFloat4()}


def _block_scales(parts: Parts) -> torch.Tensor:
    """The scales K of the blocks, never below zero."""
    group_K = parts["groups"].repeat_interleave(GROUP)[: parts["scales"].numel()]
    return (parts["middle"] + parts["scales"].float() * group_K).clamp_(min=0)


def _not_zero(scales: torch.Tensor) -> torch.Tensor:
    """Ones for zeros: what is divided by them is zero too, or is held as zero."""
    return torch.where(scales > 0, scales, torch.ones_like(scales))
