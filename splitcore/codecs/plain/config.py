"""The byte layout of plain numbers, and whether bytes hold sane ones. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Literal

import numpy as np

from splitcore.codecs.choice import CodecChoice
from splitcore.codecs.interface import Codec, WireFormat
from splitcore.codecs.payload import Buffer

CHUNK = 65_536  # values checked together, so that a check's second pass finds them in the cache


class Fp32(CodecChoice):
    """Four bytes per value, exact."""

    name: Literal["fp32"] = "fp32"

    def tolerance(self) -> float:
        """See `CodecChoice.tolerance`."""
        return 1e-3


class Bf16(CodecChoice):
    """Two bytes per value: exact where the base model computes in bfloat16."""

    name: Literal["bf16"] = "bf16"

    def tolerance(self) -> float:
        """See `CodecChoice.tolerance`."""
        return 5e-2


class FloatFormat:
    """IEEE-like floats: without the sign bit, their bit patterns order like their magnitudes, NaN and Inf on top."""

    integer = False

    def __init__(self, name: str, bits: int) -> None:
        self.name = name
        self._width = bits // 8
        self._signed: Any = np.dtype(f"<i{self._width}")
        self._unsigned: Any = np.dtype(f"<u{self._width}")
        self._mask = (1 << (bits - 1)) - 1

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """See `WireFormat.sizes`."""
        return (prod(shape) * self._width,)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """See `WireFormat.within`."""
        bits = int(np.array([high], dtype="<f4").view("<u4")[0]) >> (32 - 8 * self._width)
        values = np.frombuffer(buffers[0], dtype=self._signed)
        return all(self._largest(values[start : start + CHUNK]) <= bits for start in range(0, len(values), CHUNK))

    def _largest(self, values: Any) -> int:
        """The largest magnitude's bits: read as signed, the largest is the largest positive; as unsigned, negative."""
        return max(int(values.max()), int(values.view(self._unsigned).max()) & self._mask)

    def codec(self) -> Codec:
        """See `WireFormat.codec`."""
        from splitcore.codecs.plain.codec import PlainCodec

        return PlainCodec(self.name)


class IntegerFormat:
    """Plain integers: labels, masks, token counts."""

    integer = True

    def __init__(self, name: str, dtype: str) -> None:
        self.name = name
        self._dtype: Any = np.dtype(dtype)

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """See `WireFormat.sizes`."""
        return (prod(shape) * self._dtype.itemsize,)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """See `WireFormat.within`."""
        values = np.frombuffer(buffers[0], dtype=self._dtype)
        return values.size == 0 or (int(values.min()) >= low and int(values.max()) <= high)

    def codec(self) -> Codec:
        """See `WireFormat.codec`."""
        from splitcore.codecs.plain.codec import PlainCodec

        return PlainCodec(self.name)


FP32 = FloatFormat("fp32", 32)
CHOICES = (Fp32, Bf16)
FORMATS: tuple[WireFormat, ...] = (
    FP32,
    FloatFormat("bf16", 16),
    IntegerFormat("i64", "<i8"),
    IntegerFormat("u8", "<u1"),
)
