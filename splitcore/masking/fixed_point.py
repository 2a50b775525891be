"""Numbers as whole ones modulo 2^64, in steps of 2^-40: sums are exact there, in any order, and masks cancel (torch).

The sum of all parties lies within ±2^23, so each party's share of that bounds what it may send.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from splitcore.errors import AppError

SCALE_BITS = 40
SCALE = float(1 << SCALE_BITS)
RANGE = float(1 << (63 - SCALE_BITS))  # of a sum
STEP = 1.0 / SCALE

Tensors = dict[str, torch.Tensor]


def to_fixed(values: Mapping[str, torch.Tensor], *, parties: int, factor: float = 1.0) -> Tensors:
    """`factor` times the values, rounded to steps of 2^-40, as int64 on the CPU.

    Raises AppError CL-1537 for a value that is NaN, infinite, or not below 2^23 divided by the number of parties.
    """
    found: Tensors = {}
    for name, value in values.items():
        exact = value.detach().to(device="cpu", dtype=torch.float64) * factor
        if exact.numel() and not float(exact.abs().max()) < RANGE / parties:  # a NaN is the maximum, and below nothing
            raise AppError("CL-1537", details={"tensor": name, "bound": RANGE / parties})
        found[name] = torch.round(exact * SCALE).to(torch.int64)
    return found


def from_fixed(sums: Mapping[str, torch.Tensor], *, factor: float = 1.0) -> Tensors:
    """`factor` times the numbers that sums of `to_fixed` stand for, in fp32."""
    return {name: (value.double() * (STEP * factor)).float() for name, value in sums.items()}
