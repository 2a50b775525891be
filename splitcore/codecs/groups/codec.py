"""Low-bit codecs (torch): groups of up to 64 values, rotated by a Hadamard matrix, rounded to 64 levels or fewer.

Shapes: N groups, G values of a group. Everything runs on the tensor's own device; only the packed bytes leave it.

A rotated group is close to Gaussian whatever outliers it had, so that one table of best step sizes serves all
(J. Max, Quantizing for minimum distortion, 1960). Rounding (`Draw`): to the nearest level with the scale of least
squared error; stochastically, which is unbiased but noisier; or to the nearest level after a *random* rotation, with
the scale that preserves the mean: unbiased and nearly as exact (EDEN, arXiv 2108.08842).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from splitcore.codecs.groups.config import GROUP_FORMATS, SCALE_STEPS, TOP_RANGE, ZERO_SCALE, GroupFormat, group_size
from splitcore.codecs.packing import bytes_of, pack, unpack
from splitcore.codecs.payload import Payload
from splitcore.codecs.rounding import NEAREST, Draw, hadamard

# best step of a uniform quantiser of N(0, 1), by number of levels
STEPS = {64: 0.1041, 32: 0.1881, 16: 0.3352, 8: 0.5860, 4: 0.9957, 3: 1.2240}
NOT_FINITE = TOP_RANGE + 1  # the top exponent of a tensor with a NaN or an infinity, which every receiver refuses
TINY = 1e-37  # scales up to it count as zero
FLOOR = -1966  # the exponent of TINY


class GroupCodec:
    """One low-bit format."""

    def __init__(self, format_: GroupFormat) -> None:
        self.name, self._format = format_.name, format_

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The packed form of `tensor` (…, D)."""
        rotated_NG = rotate(tensor, draw)
        if draw.rounding == "stochastic":
            exponents_N, top, codes_NG = _stochastic(rotated_NG, self._format.levels, draw)
        else:
            exponents_N, top, codes_NG = _nearest(rotated_NG, self._format.levels, draw.rounding == "rotated")
        low = top - exponents_N
        scales_N = torch.where((low < ZERO_SCALE) & (exponents_N > FLOOR), low, ZERO_SCALE).to(torch.uint8)
        packed = pack(codes_NG.reshape(-1), self._format)
        buffers = (bytes_of(packed), bytes_of(scales_N), np.array([top], "<i4").tobytes())
        return Payload(self.name, tuple(tensor.shape), buffers)

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """fp32 values (…, D) on `device`, the same bits on every device."""
        shape, size = payload.shape, group_size(payload.shape[-1])
        packed, scales = (np.frombuffer(buffer, np.uint8) for buffer in payload.buffers[:2])
        codes = unpack(_on(packed, device), self._format.groups(shape) * size, self._format).to(torch.float32)
        doubled_NG = codes.mul_(2.0).sub_(self._format.levels - 1).reshape(-1, size)  # twice the levels: whole numbers
        top = int(np.frombuffer(payload.buffers[2], "<i4")[0])
        scale_N = scale_table(top).to(codes.device)[_on(scales, device).to(torch.int32)]
        # rotated back before they are scaled: sums of 64 whole numbers are exact in any order
        turned_NG = doubled_NG @ _matrix(size, draw, codes.device).t()
        turned_NG.mul_((scale_N * (0.5 / math.sqrt(size))).unsqueeze(1))
        width = -(-shape[-1] // size) * size
        return turned_NG.reshape(*shape[:-1], width)[..., : shape[-1]].contiguous()


GROUP_CODECS = {name: GroupCodec(format_) for name, format_ in GROUP_FORMATS.items()}


def rotate(tensor: torch.Tensor, draw: Draw = NEAREST) -> torch.Tensor:
    """Groups (N, G) of the last dimension, each multiplied by the orthonormal Hadamard matrix (with random signs)."""
    values = tensor.detach().to(torch.float32)
    size = group_size(values.shape[-1])
    if lacking := -values.shape[-1] % size:
        values = torch.nn.functional.pad(values, (0, lacking))
    return values.reshape(-1, size) @ (_matrix(size, draw, values.device) / math.sqrt(size))


@lru_cache(maxsize=64)
def _matrix(size: int, draw: Draw, device: torch.device) -> torch.Tensor:
    """The matrix that a row of G values is multiplied by: signs, then Hadamard; entries are +1 and −1."""
    signs = draw.signs(size)
    matrix = hadamard(size) if signs is None else signs.unsqueeze(1) * hadamard(size)
    return matrix.to(device)


def _on(bytes_: np.ndarray[Any, Any], device: torch.device | str | None) -> torch.Tensor:
    """Bytes as a separate tensor, because a received frame is read-only."""
    return torch.from_numpy(bytes_.copy()).to(device or "cpu")


@lru_cache(maxsize=256)
def scale_table(top: int) -> torch.Tensor:
    """The 256 scales that a scale code can mean under the top exponent `top`, fp32."""
    table = torch.tensor([2.0 ** ((top - code) / SCALE_STEPS) for code in range(ZERO_SCALE + 1)], dtype=torch.float32)
    table[ZERO_SCALE] = 0.0
    return table


def _exponents(scale_N: torch.Tensor, *, up: bool) -> tuple[torch.Tensor, int]:
    """Each scale as an exponent of 2^(1/16), and the highest."""
    raw_N = torch.log2(scale_N.clamp_min(TINY)).mul_(SCALE_STEPS)
    exponents_N = raw_N.ceil_() if up else raw_N.round_()
    top = float(exponents_N.max()) if len(exponents_N) else 0.0
    if not abs(top) <= TOP_RANGE:  # NaN too
        return torch.zeros_like(exponents_N, dtype=torch.int32), NOT_FINITE
    return exponents_N.to(torch.int32), int(top)


def _nearest(rotated_NG: torch.Tensor, levels: int, unbiased: bool) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Codes by the best step for a Gaussian of the group's size, then the scale that fits them best."""
    size = rotated_NG.shape[1]
    norm_N1 = torch.linalg.vector_norm(rotated_NG, dim=1, keepdim=True)
    unit_N1 = (math.sqrt(size) / STEPS[levels]) / norm_N1.clamp_min(TINY)
    value_NG = (rotated_NG * unit_N1).add_(levels / 2).clamp_(0, levels - 1).floor_()
    codes_NG = value_NG.to(torch.uint8)
    value_NG.sub_((levels - 1) / 2)
    along_N = torch.linalg.vecdot(rotated_NG, value_NG)
    if unbiased:
        scale_N = norm_N1.squeeze(1).square() / along_N.clamp_min(TINY)
    else:
        scale_N = along_N / torch.linalg.vector_norm(value_NG, dim=1).square_().clamp_min(TINY)
    norm_N = norm_N1.squeeze(1)
    scale_N = torch.where((norm_N > TINY) & (norm_N < math.inf), scale_N, norm_N)  # a NaN must not be hidden
    return *_exponents(scale_N, up=False), codes_NG


def _stochastic(rotated_NG: torch.Tensor, levels: int, draw: Draw) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Codes whose expected value is the input: the scale covers the largest, and the choice of neighbour is random."""
    scale_N = rotated_NG.abs().amax(dim=1) / ((levels - 1) / 2)
    exponents_N, top = _exponents(scale_N, up=True)
    unit_N1 = torch.exp2(exponents_N.to(torch.float64) / -SCALE_STEPS).to(torch.float32).unsqueeze(1)
    spread_NG = (rotated_NG * unit_N1).add_((levels - 1) / 2)
    codes_NG = spread_NG.add_(draw.uniform(tuple(rotated_NG.shape), rotated_NG.device)).clamp_(0, levels - 1)
    return exponents_N, top, codes_NG.to(torch.uint8)
