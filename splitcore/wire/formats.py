"""The number formats of the wire: how many bytes a tensor takes, and whether its bytes hold sane values. Torch-free.

`codecs` (torch) turns tensors into these formats and back; `frames` validates received bytes with them; `planning`
computes traffic with them. Adding a codec means one class here and one in `codecs`.

Groups (`GroupFormat`): the last dimension is cut into groups of up to 64 values, each group rotated by a Hadamard
matrix and rounded to a few levels with a scale of its own. Three buffers: packed codes; a scale code per group; the
message's top exponent. A group's scale is 2^((top − code) / 16), or 0 for code 255.
`CentredFormat` adds the mean of the message's vectors, which is taken off them before, in two buffers more.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

import numpy as np

from splitcore.wire.messages import Buffer

CHUNK = 65_536  # values looked at together: a check's second pass finds them in the cache
GROUP = 64  # values that share a scale and a rotation
SCALE_STEPS = 16  # scale codes an octave: a scale is rounded by at most 2.2 %
ZERO_SCALE = 255  # the scale code of a group of zeros
INT8_PART = 127 / 128  # of a bound for int8: received bytes reach −128, where the encoder stops at 127
TOP_RANGE = 127 * SCALE_STEPS  # exponents beyond it have no fp32 scale; the encoder marks NaN and infinity with one


class WireFormat(Protocol):
    """The byte layout of one codec."""

    name: str
    integer: bool

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Bytes of each buffer of a tensor of `shape`."""

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """Whether every value is finite and in [low, high] (floats: magnitude at most `high`)."""


class _FloatFormat:
    """IEEE-like floats: without the sign bit, their bit patterns order like their magnitudes, NaN and Inf on top."""

    integer = False

    def __init__(self, name: str, bits: int) -> None:
        self.name = name
        self._width = bits // 8
        self._signed: Any = np.dtype(f"<i{self._width}")
        self._unsigned: Any = np.dtype(f"<u{self._width}")
        self._mask = (1 << (bits - 1)) - 1

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (prod(shape) * self._width,)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        bits = int(np.array([high], dtype="<f4").view("<u4")[0]) >> (32 - 8 * self._width)
        values = np.frombuffer(buffers[0], dtype=self._signed)
        return all(self._largest(values[start : start + CHUNK]) <= bits for start in range(0, len(values), CHUNK))

    def _largest(self, values: Any) -> int:
        """The largest magnitude's bits: read as signed, the largest is the largest positive; as unsigned, negative."""
        return max(int(values.max()), int(values.view(self._unsigned).max()) & self._mask)


class _IntegerFormat:
    """Plain integers: labels, masks, token counts."""

    integer = True

    def __init__(self, name: str, dtype: str) -> None:
        self.name = name
        self._dtype: Any = np.dtype(dtype)

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (prod(shape) * self._dtype.itemsize,)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        values = np.frombuffer(buffers[0], dtype=self._dtype)
        return values.size == 0 or (int(values.min()) >= low and int(values.max()) <= high)


class _Int8RowFormat:
    """Signed bytes with one fp32 scale per row (the last dimension): value = scale · byte."""

    name = "int8"
    integer = False

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (prod(shape), prod(shape[:-1]) * 4)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        return FORMATS["fp32"].within(buffers[1:], low, high / 127)


def group_size(width: int) -> int:
    """Values in a group of a vector of `width`: 64, or the next power of two of a narrower vector."""
    return min(GROUP, 1 << max(0, width - 1).bit_length())


class GroupFormat:
    """`levels` evenly spaced values per group: value = scale · (code − (levels − 1) / 2), then rotated back."""

    integer = False

    def __init__(self, name: str, levels: int, planes: Sequence[int]) -> None:
        """`planes`: how many codes share a byte, for each part of the packed codes, low digits first.

        Five bits are a plane of four bits (two codes a byte) and one of one bit (eight codes a byte).
        """
        self.name, self.levels, self.planes = name, levels, tuple(planes)

    def groups(self, shape: Sequence[int]) -> int:
        """Number of groups of a tensor of `shape`; a last group that is not full is filled up with zeros."""
        return prod(shape[:-1]) * -(-shape[-1] // group_size(shape[-1]))

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        groups = self.groups(shape)
        values = groups * group_size(shape[-1])
        return (sum(-(-values // share) for share in self.planes), groups, 4)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """Every code means a finite value; the largest of all follows from the top exponent."""
        top = int(np.frombuffer(buffers[2], dtype="<i4")[0])
        if self.levels == 3 and (codes := np.frombuffer(buffers[0], np.uint8)).size and codes.max() >= 3**5:
            return False
        # a rotation back can pile a whole group up in one value: |x| ≤ √64 · largest level
        return abs(top) <= TOP_RANGE and 2.0 ** (top / SCALE_STEPS) * (self.levels / 2) * GROUP**0.5 <= high


GROUP_FORMATS: dict[str, GroupFormat] = {
    format_.name: format_
    for format_ in (
        GroupFormat("int6", 64, (2, 4)),
        GroupFormat("int5", 32, (2, 8)),
        GroupFormat("int4", 16, (2,)),
        GroupFormat("int3", 8, (4, 8)),
        GroupFormat("int2", 4, (4,)),
        GroupFormat("ternary", 3, (5,)),
    )
}


class CentredFormat:
    """Groups of what is left of each vector without the mean of all vectors of the message.

    Buffers: those of the groups, then the mean in `int8`: bytes (D,) and their scale. The last dimension is a token's
    vector, all others count tokens.
    """

    integer = False

    def __init__(self, groups: GroupFormat) -> None:
        self.name, self.groups = groups.name, groups

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*self.groups.sizes(shape), *FORMATS["int8"].sizes(shape[-1:]))

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """A half of the bound for the mean, a half for the rest."""
        mean, groups = buffers[3:], buffers[:3]
        return FORMATS["int8"].within(mean, low, high / 2 * INT8_PART) and self.groups.within(groups, low, high / 2)


_ALL: list[WireFormat] = [
    _FloatFormat("fp32", 32),
    _FloatFormat("bf16", 16),
    _Int8RowFormat(),
    *(CentredFormat(format_) for format_ in GROUP_FORMATS.values()),
    _IntegerFormat("i64", "<i8"),
    _IntegerFormat("u8", "<u1"),
]
FORMATS: dict[str, WireFormat] = {format_.name: format_ for format_ in _ALL}


def payload_bytes(codec: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor of `shape` in the format `codec`, headers aside."""
    return sum(FORMATS[codec].sizes(shape))
