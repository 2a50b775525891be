"""The byte layout of int8. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

from pydantic import Field

from splitcore.codecs.choice import CodecChoice
from splitcore.codecs.interface import Codec
from splitcore.codecs.payload import Buffer
from splitcore.codecs.plain.config import FP32
from splitcore.fields import ui


class Int8(CodecChoice):
    """One byte per value and a scale per token."""

    name: Literal["int8"] = "int8"
    rounding: Literal["nearest", "stochastic"] = Field(
        "nearest",
        description=("nearest: least error, but biased. stochastic: random and unbiased, with more noise."),
        json_schema_extra=ui(level="advanced", label="Rounding"),
    )

    def tolerance(self) -> float:
        """See `CodecChoice.tolerance`."""
        return 2e-1


class Int8RowFormat:
    """Signed bytes with one fp32 scale per row (the last dimension): value = scale · byte."""

    name = "int8"
    integer = False

    def sizes(self, shape: Sequence[int]) -> tuple[int, ...]:
        """See `WireFormat.sizes`."""
        return (prod(shape), prod(shape[:-1]) * 4)

    def within(self, buffers: Sequence[Buffer], low: float, high: float) -> bool:
        """See `WireFormat.within`."""
        return FP32.within(buffers[1:], low, high / 127)

    def codec(self) -> Codec:
        """See `WireFormat.codec`."""
        from splitcore.codecs.int8.codec import Int8RowCodec

        return Int8RowCodec()


INT8 = Int8RowFormat()
CHOICES = (Int8,)
FORMATS = (INT8,)
