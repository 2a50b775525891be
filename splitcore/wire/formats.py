"""The number formats of the wire: how many bytes a tensor takes, and whether its bytes hold sane values. Torch-free.

`codecs` (torch) turns tensors into these formats and back; `frames` validates received bytes with them; `planning`
computes traffic with them. Adding a codec means one class here and one in `codecs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Protocol

import numpy as np

from splitcore.wire.messages import Buffer

CHUNK = 65_536  # values looked at together: bounds the scratch memory of a check


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
        self._dtype: Any = np.dtype(f"<u{self._width}")
        self._mask = self._dtype.type((1 << (bits - 1)) - 1)

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (prod(shape) * self._width,)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        bits = int(np.array([high], dtype="<f4").view("<u4")[0]) >> (32 - 8 * self._width)
        values = np.frombuffer(buffers[0], dtype=self._dtype)
        return all(
            int((values[start : start + CHUNK] & self._mask).max()) <= bits for start in range(0, len(values), CHUNK)
        )


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


FORMATS: dict[str, WireFormat] = {
    format_.name: format_
    for format_ in (
        _FloatFormat("fp32", 32),
        _FloatFormat("bf16", 16),
        _Int8RowFormat(),
        _IntegerFormat("i64", "<i8"),
        _IntegerFormat("u8", "<u1"),
    )
}


def payload_bytes(codec: str, shape: Sequence[int]) -> int:
    """Bytes of a tensor of `shape` in the format `codec`, headers aside."""
    return sum(FORMATS[codec].sizes(shape))
