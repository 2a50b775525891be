"""Values that are NaN, infinite or beyond the wire's bound: found where they are produced, before they are remembered.

The half that produces one sends zeros in its place, so that every conversation stays in order, and reports it with
what it reports at the end of the step; the server half then tells all to drop the step (`splitcore/step/faults.py`).
"""

from __future__ import annotations

import math

import torch

from splitcore.errors import AppError
from splitcore.wire.protocol.limits import ABS_MAX
from splitcore.wire.protocol.messages import Json


class Finite:
    """Checks what one half produces in one conversation; `where` is the first bad place since `clear`."""

    def __init__(self) -> None:
        self.where: str | None = None

    def checked(self, tensor: torch.Tensor, where: str) -> torch.Tensor:
        """The tensor, or zeros in its place."""
        if not tensor.numel():
            return tensor
        low, high = tensor.detach().aminmax()  # a NaN propagates, and this needs no copy of the tensor
        if float(low) >= -ABS_MAX and float(high) <= ABS_MAX:
            return tensor
        self.where = self.where or where
        return torch.zeros_like(tensor)

    def number(self, value: float, where: str) -> float:
        """The number, or 0 in its place."""
        if math.isfinite(value):
            return value
        self.where = self.where or where
        return 0.0

    def clear(self) -> None:
        """A new step begins."""
        self.where = None

    def told(self) -> dict[str, Json]:
        """The bad value to report in an evaluation's answer; it doesn't carry over to the next one."""
        where, self.where = self.where, None
        return {} if where is None else {"fault": where}

    def require(self, what: str) -> None:
        """For places where skipping a step doesn't help. Raises AppError CL-1311."""
        if self.where is not None:
            where, self.where = self.where, None
            raise AppError("CL-1311", f"A value of {what} is NaN or infinite ({where}).", details={"where": where})
