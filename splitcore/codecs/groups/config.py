"""The byte layout of the low-bit codecs, and whether bytes hold sane values. Torch-free.

The last dimension is cut into groups of up to 64 values, each rotated by a Hadamard matrix and rounded to a few levels
with a scale of its own. Three buffers: packed codes; a scale code per group; the message's top exponent. A group's
scale is 2^((top − code) / 16), or 0 for code 255. `CentredFormat` adds the mean of the message's vectors, which is
taken off them before, in two buffers more.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import numpy as np
from pydantic import Field

from splitcore.codecs.choice import CodecChoice
from splitcore.codecs.int8.config import INT8
from splitcore.codecs.interface import Codec
from splitcore.codecs.payload import Buffer
from splitcore.fields import ui

GROUP = 64  # values that share a scale and a rotation
SCALE_STEPS = 16  # scale codes per octave: a scale is rounded by at most 2.2 %
ZERO_SCALE = 255  # the scale code of a group of zeros
INT8_PART = 127 / 128  # of a bound for int8: received bytes reach −128, where the encoder stops at 127
TOP_RANGE = 127 * SCALE_STEPS  # exponents beyond it have no fp32 scale; the encoder marks NaN and infinity with one


TOLERANCES = {"int6": 2e-1, "int5": 2.5e-1, "int4": 3e-1, "int3": 6e-1, "int2": 2.0}


class LowBit(CodecChoice):
    """Six bits per value or fewer, in rotated groups of 64."""

    name: Literal["int6", "int5", "int4", "int3", "int2"] = "int4"
    rounding: Literal["nearest", "stochastic", "rotated"] = Field(
        "nearest",
        description=(
            "nearest: least error, but biased. stochastic: random and unbiased, with more noise. rotated: nearest"
            " after a random rotation, unbiased with little noise. Choose it for gradients with 4 bits or fewer."
        ),
        json_schema_extra=ui(level="advanced", label="Rounding"),
    )

    def tolerance(self) -> float:
        """See `CodecChoice.tolerance`."""
        return TOLERANCES[self.name]


def group_size(width: int) -> int:
    """Values in a group of a vector of `width`: 64, or the next power of two of a narrower vector."""
    return min(GROUP, 1 << max(0, width - 1).bit_length())


class GroupFormat:
    """`levels` evenly spaced values per group: value = scale · (code − (levels − 1) / 2), then rotated back."""

    integer = False

    def __init__(self, name: str, levels: int, planes: Sequence[int]) -> None:
        """`planes`: how many codes share a byte, for each part of the packed codes, low digits first.

        Five bits are a plane of four bits (two codes per byte) and one of one bit (eight codes per byte).
        """
        self.name, self.levels, self.planes = name, levels, tuple(planes)

    def groups(self, shape: Sequence[int]) -> int:
        """Number of groups of a tensor of `shape`; the last group is padded with zeros."""
        return prod(shape[:-1]) * -(-shape[-1] // group_size(shape[-1]))

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        groups = self.groups(shape)
        values = groups * group_size(shape[-1])
        return (sum(-(-values // share) for share in self.planes), groups, 4)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """Every code stands for a finite value; the largest possible one follows from the top exponent."""
        top = int(np.frombuffer(buffers[2], dtype="<i4")[0])
        if self.levels == 3 and (codes := np.frombuffer(buffers[0], np.uint8)).size and codes.max() >= 3**5:
            return False
        # rotating back can concentrate a whole group in one value: |x| ≤ √64 · largest level
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
    """Groups of each vector's difference from the mean of all vectors in the message.

    Buffers: those of the groups, then the mean in `int8`: bytes (D,) and their scale. The last dimension is a token's
    vector, all others count tokens.
    """

    integer = False

    def __init__(self, groups: GroupFormat) -> None:
        self.name, self.groups = groups.name, groups

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (*self.groups.sizes(shape), *INT8.sizes(shape[-1:]))

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """Half of the bound for the mean, half for the rest."""
        mean, groups = buffers[3:], buffers[:3]
        return INT8.within(mean, low, high / 2 * INT8_PART) and self.groups.within(groups, low, high / 2)

    def codec(self) -> Codec:
        """See `WireFormat.codec`."""
        from splitcore.codecs.groups.centred import CentredCodec
        from splitcore.codecs.groups.codec import GROUP_CODECS

        return CentredCodec(GROUP_CODECS[self.name])


CHOICES = (LowBit,)
FORMATS = tuple(CentredFormat(format_) for format_ in GROUP_FORMATS.values())
