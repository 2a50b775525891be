"""Which layers and which ends of the model each segment holds (torch-free)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from splitcore.errors import AppError

Role = Literal["head", "body", "tail", "whole"]


@dataclass(frozen=True)
class SegmentPlan:
    """One segment: layers [start, end) of `total`, with or without the token embedding and the output head."""

    role: Role
    start: int
    end: int
    total: int
    embedding: bool
    output: bool

    def owns(self, layer: int) -> bool:
        """Whether layer number `layer` belongs to this segment."""
        return self.start <= layer < self.end


def segment_plans(topology: str, head_layers: int, tail_layers: int, total: int) -> dict[Role, SegmentPlan]:
    """Cut `total` layers into head, body and (u_shape) tail. Raises AppError CL-1002 where nothing is left to cut."""
    tail_layers = tail_layers if topology == "u_shape" else 0
    body_end = total - tail_layers
    if head_layers >= body_end:
        kept = f"{head_layers} head and {tail_layers} tail layers" if tail_layers else f"{head_layers} head layers"
        raise AppError(
            "CL-1002",
            f"The model has {total} layers. With {kept}, no layer is left for the compute organisation.",
            details={"layers": total, "head_layers": head_layers, "tail_layers": tail_layers},
        )
    u_shape = topology == "u_shape"
    plans: dict[Role, SegmentPlan] = {
        "head": SegmentPlan("head", 0, head_layers, total, embedding=True, output=False),
        "body": SegmentPlan("body", head_layers, body_end, total, embedding=False, output=not u_shape),
    }
    if u_shape:
        plans["tail"] = SegmentPlan("tail", body_end, total, total, embedding=False, output=True)
    return plans
