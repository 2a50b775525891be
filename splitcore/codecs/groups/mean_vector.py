"""The mean of some of a message's vectors, in eight bits per channel (torch): their common part is sent once.

Shapes: N vectors of D values. Two buffers, as of the format `int8`: bytes (D,) and their scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from splitcore.codecs.packing import bytes_of
from splitcore.codecs.payload import Buffer


class MeanVector:
    """A mean as the receiver reconstructs it: mean = scale · byte."""

    def __init__(self, whole_D: torch.Tensor, scale: torch.Tensor) -> None:
        self._whole_D, self._scale = whole_D, scale

    @classmethod
    def of(cls, values_ND: torch.Tensor) -> MeanVector:
        """The rounded mean; zeros where there are no vectors."""
        mean_D = values_ND.mean(dim=0) if len(values_ND) else values_ND.sum(dim=0)
        scale = mean_D.abs().amax() / 127  # a NaN stays one, and every receiver refuses it
        return cls(torch.where(scale > 0, mean_D / scale, 0.0).round_().to(torch.int8), scale)

    @classmethod
    def read(cls, buffers: Sequence[Buffer], device: torch.device | str | None) -> MeanVector:
        """The mean of received bytes, on `device`."""
        whole, scale = (
            torch.from_numpy(np.frombuffer(buffer, type_).copy()).to(device or "cpu")
            for buffer, type_ in zip(buffers, ("i1", "<f4"), strict=True)
        )
        return cls(whole, scale)

    @property
    def vector(self) -> torch.Tensor:
        """fp32, the same bits on every device."""
        return self._whole_D.to(torch.float32) * self._scale

    @property
    def buffers(self) -> tuple[Buffer, Buffer]:
        """What is sent."""
        return bytes_of(self._whole_D), bytes_of(self._scale.reshape(1))
