"""A small run's limits and messages, for the tests of the wire."""

from __future__ import annotations

import torch

from splitcore.wire.codecs import encode
from splitcore.wire.limits import FrameLimits, Side, session_limits
from splitcore.wire.messages import Kind, Message, Phase, SessionIds

IDS = SessionIds("run-1", "Clinic A", 3)
ADAPTERS = {"layers.0.q.lora_A": (4, 16), "layers.0.q.lora_B": (16, 4)}
ROWS, LENGTH, WIDTH = 4, 12, 16


def limits(side: Side, *, codec: str = "fp32", labels: bool = False, ids: SessionIds = IDS) -> FrameLimits:
    return session_limits(
        ids,
        side,
        rows=ROWS,
        length=LENGTH,
        width=WIDTH,
        vocabulary=100,
        adapters=ADAPTERS,
        activations=codec,
        gradients=codec,
        labels=labels,
    )


def head_up(step: int = 0, *, codec: str = "fp32", rows: int = ROWS, length: int = LENGTH) -> Message:
    generator = torch.Generator().manual_seed(step)
    hidden_BLD = torch.randn(rows, length, WIDTH, generator=generator)
    mask_BL = torch.ones(rows, length, dtype=torch.uint8)
    tensors = {"hidden": encode(hidden_BLD, codec), "mask": encode(mask_BL, "u8")}
    return Message(Kind.ACTIVATIONS, step=step, phase=Phase.HEAD_UP, tensors=tensors)


def body_down(step: int, hidden_BLD: torch.Tensor, *, codec: str = "fp32") -> Message:
    return Message(Kind.ACTIVATIONS, step=step, phase=Phase.BODY_DOWN, tensors={"hidden": encode(hidden_BLD, codec)})
