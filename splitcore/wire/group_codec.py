"""Low-bit codecs (torch): groups of up to 64 values, rotated by a Hadamard matrix, rounded to 64 levels or fewer.

Shapes: N groups, G values of a group. Everything runs on the tensor's own device; the packed bytes alone leave it.

A rotated group is close to Gaussian whatever outliers it had, so that one table of best step sizes serves all
(J. Max, Quantizing for minimum distortion, 1960). Rounding (`Draw`): to the nearest level with the scale of least
squared error; stochastically, which is unbiased but noisier; or to the nearest level after a *random* rotation, with
the scale that makes the mean right: unbiased and nearly as exact (EDEN, arXiv 2108.08842).
"""

from __future__ import annotations

import math

import numpy as np
import torch

from splitcore.wire.formats import GROUP_FORMATS, SCALE_STEPS, TOP_RANGE, ZERO_SCALE, GroupFormat, group_size
from splitcore.wire.messages import Payload
from splitcore.wire.packing import bytes_of, pack, tensor_of, unpack
from splitcore.wire.rounding import NEAREST, Draw, hadamard

# best step of a uniform quantiser of N(0, 1), by number of levels
STEPS = {64: 0.1041, 32: 0.1881, 16: 0.3352, 8: 0.5860, 4: 0.9957, 3: 1.2240}
NOT_FINITE = TOP_RANGE + 1  # the top exponent of a tensor with a NaN or an infinity: every receiver refuses it
TINY = 1e-37  # scales up to it count as zero
FLOOR = -1966  # the exponent of TINY


class GroupCodec:
    """One low-bit format."""

    def __init__(self, format_: GroupFormat) -> None:
        self.name, self._format = format_.name, format_

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The packed form of `tensor` (…, D)."""
        return self.encode_rotated(rotate(tensor, draw), tuple(tensor.shape), draw)

    def encode_rotated(self, rotated_NG: torch.Tensor, shape: tuple[int, ...], draw: Draw = NEAREST) -> Payload:
        """The packed form of groups that are rotated already."""
        if draw.rounding == "stochastic":
            exponents_N, top, codes_NG = _stochastic(rotated_NG, self._format.levels, draw)
        else:
            exponents_N, top, codes_NG = _nearest(rotated_NG, self._format.levels, draw.rounding == "rotated")
        low = top - exponents_N
        scales_N = torch.where((low < ZERO_SCALE) & (exponents_N > FLOOR), low, ZERO_SCALE).to(torch.uint8)
        packed = pack(codes_NG.reshape(-1), self._format)
        return Payload(self.name, shape, (bytes_of(packed), bytes_of(scales_N), np.array([top], "<i4").tobytes()))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """fp32 values (…, D) on `device`, the same bits on every device."""
        whole_NG, scale_N1 = self._parts(payload, device or "cpu")
        size = whole_NG.shape[1]
        # sums of at most 64 small integers: exact in any order, so rotated back before they are scaled
        turned_NG = whole_NG @ _matrix(size, draw, whole_NG.device).t()
        return _joined(turned_NG.mul_(scale_N1 * (0.5 / math.sqrt(size))), payload.shape)

    def decode_rotated(self, payload: Payload, device: torch.device | str = "cpu") -> torch.Tensor:
        """The groups (N, G) before they are rotated back."""
        whole_NG, scale_N1 = self._parts(payload, device)
        return whole_NG.mul_(scale_N1 * 0.5)

    def _parts(self, payload: Payload, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
        """Twice the levels as odd or even integers (N, G), and the scales (N, 1)."""
        groups, size = self._format.groups(payload.shape), group_size(payload.shape[-1])
        packed = tensor_of(payload.buffers[0], (self._format.sizes(payload.shape)[0],), torch.uint8).to(device)
        codes = unpack(packed, groups * size, self._format)
        top = int(np.frombuffer(payload.buffers[2], dtype="<i4")[0])
        scales = scale_table(top).to(device)[tensor_of(payload.buffers[1], (groups,), torch.uint8).to(device).long()]
        whole_NG = codes.to(torch.float32).reshape(groups, size)
        return whole_NG.mul_(2.0).sub_(self._format.levels - 1), scales.unsqueeze(1)


GROUP_CODECS = {name: GroupCodec(format_) for name, format_ in GROUP_FORMATS.items()}


def rotate(tensor: torch.Tensor, draw: Draw = NEAREST) -> torch.Tensor:
    """Groups (N, G) of the last dimension, each multiplied by the orthonormal Hadamard matrix (with random signs)."""
    values = tensor.detach().to(torch.float32)
    size = group_size(values.shape[-1])
    if lacking := -values.shape[-1] % size:
        values = torch.nn.functional.pad(values, (0, lacking))
    return (values.reshape(-1, size) @ _matrix(size, draw, values.device)).mul_(1 / math.sqrt(size))


def rotate_back(rotated_NG: torch.Tensor, shape: tuple[int, ...], draw: Draw = NEAREST) -> torch.Tensor:
    """The inverse of `rotate`: a tensor of `shape`."""
    size = rotated_NG.shape[1]
    return _joined((rotated_NG @ _matrix(size, draw, rotated_NG.device).t()).mul_(1 / math.sqrt(size)), shape)


def _matrix(size: int, draw: Draw, device: torch.device) -> torch.Tensor:
    """The matrix that a row of G values is multiplied by: signs, then Hadamard; entries are +1 and −1."""
    signs = draw.signs(size)
    matrix = hadamard(size) if signs is None else signs.unsqueeze(1) * hadamard(size)
    return matrix.to(device)


def _joined(groups_NG: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    width = -(-shape[-1] // groups_NG.shape[1]) * groups_NG.shape[1]
    return groups_NG.reshape(*shape[:-1], width)[..., : shape[-1]].contiguous()


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
    """Codes by the best step for a Gaussian of the group's own size, then the scale that fits them best."""
    size = rotated_NG.shape[1]
    norm_N1 = torch.linalg.vector_norm(rotated_NG, dim=1, keepdim=True)
    unit_N1 = (math.sqrt(size) / STEPS[levels]) / norm_N1.clamp_min(TINY)
    codes_NG = (rotated_NG * unit_N1).add_(levels / 2).clamp_(0, levels - 1).to(torch.uint8)
    value_NG = codes_NG.to(torch.float32).sub_((levels - 1) / 2)
    along_N = torch.linalg.vecdot(rotated_NG, value_NG)
    if unbiased:
        scale_N = norm_N1.squeeze(1).square() / along_N.clamp_min(TINY)
    else:
        scale_N = along_N / torch.linalg.vecdot(value_NG, value_NG).clamp_min(TINY)
    norm_N = norm_N1.squeeze(1)
    scale_N = torch.where((norm_N > TINY) & (norm_N < math.inf), scale_N, norm_N)  # a NaN may not be hidden
    return *_exponents(scale_N, up=False), codes_NG


def _stochastic(rotated_NG: torch.Tensor, levels: int, draw: Draw) -> tuple[torch.Tensor, int, torch.Tensor]:
    """Codes whose mean is the value: the scale covers the largest, and chance decides between the two neighbours."""
    scale_N = rotated_NG.abs().amax(dim=1) / ((levels - 1) / 2)
    exponents_N, top = _exponents(scale_N, up=True)
    unit_N1 = torch.exp2(exponents_N.to(torch.float64) / -SCALE_STEPS).to(torch.float32).unsqueeze(1)
    spread_NG = (rotated_NG * unit_N1).add_((levels - 1) / 2)
    codes_NG = spread_NG.add_(draw.uniform(tuple(rotated_NG.shape), rotated_NG.device)).clamp_(0, levels - 1)
    return exponents_N, top, codes_NG.to(torch.uint8)
