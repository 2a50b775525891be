"""Packing codes of a few levels into bytes and back (torch): in chunks of the whole tensor, each pass contiguous.

A plane with `share` codes per byte holds code i of chunk k in digit k of byte i. Codes of 3 bits take two planes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from splitcore.codecs.groups.config import GroupFormat
from splitcore.codecs.payload import Buffer


def bytes_of(tensor: torch.Tensor) -> memoryview:
    """The bytes of a contiguous tensor, not copied where it is on the CPU."""
    return tensor.cpu().reshape(-1).view(torch.uint8).numpy().data


def tensor_of(buffers: Sequence[Buffer], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """A new tensor with the values in `buffers`: one copy, since a received frame is read-only and unaligned."""
    tensor = torch.empty(shape, dtype=dtype)
    if tensor.numel():
        target, start = tensor.reshape(-1).view(torch.uint8).numpy(), 0
        for buffer in buffers:
            values = np.frombuffer(buffer, dtype=np.uint8)
            target[start : start + len(values)] = values
            start += len(values)
    return tensor


def pack(codes: torch.Tensor, format_: GroupFormat) -> torch.Tensor:
    """Codes (n,) of type uint8, each below `format_.levels`, as bytes."""
    if len(format_.planes) == 1:
        return _pack_plane(codes, format_.planes[0], format_.levels)
    low, high = format_.planes
    bits = 8 // low
    return torch.cat(
        [_pack_plane(codes & ((1 << bits) - 1), low, 1 << bits), _pack_plane(codes >> bits, high, 1 << 8 // high)]
    )


def unpack(packed: torch.Tensor, count: int, format_: GroupFormat) -> torch.Tensor:
    """The first `count` codes of packed bytes."""
    if len(format_.planes) == 1:
        return _unpack_plane(packed, count, format_.planes[0], format_.levels)
    low, high = format_.planes
    edge = -(-count // low)
    upper = _unpack_plane(packed[edge:], count, high, 1 << 8 // high)
    return _unpack_plane(packed[:edge], count, low, 1 << 8 // low) | upper << 8 // low


def _pack_plane(codes: torch.Tensor, share: int, base: int) -> torch.Tensor:
    size = -(-len(codes) // share)
    packed = codes[:size].clone()
    for digit in range(1, share):
        part = codes[digit * size : (digit + 1) * size]
        packed[: len(part)] += part * base**digit
    return packed


def _unpack_plane(packed: torch.Tensor, count: int, share: int, base: int) -> torch.Tensor:
    size = -(-count // share)
    codes = torch.empty(size * share, dtype=torch.uint8, device=packed.device)
    if base & (base - 1) == 0:
        width = base.bit_length() - 1
        for digit in range(share):
            torch.bitwise_and(packed >> width * digit, base - 1, out=codes[digit * size : (digit + 1) * size])
        return codes[:count]
    rest = packed
    for digit in range(share):
        # x // 3 for x below 256 is exact as (x · 171) >> 9
        less = (rest.to(torch.int32) * 171 >> 9).to(torch.uint8)
        torch.sub(rest, less * base, out=codes[digit * size : (digit + 1) * size])
        rest = less
    return codes[:count]
