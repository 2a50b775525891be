"""A small run's limits and messages, for the tests of the wire."""

from __future__ import annotations

import torch

from splitcore.codecs.tensors import encode
from splitcore.config import RunConfig
from splitcore.flows import anyone, carried_to, flows_of
from splitcore.wire.protocol.declared import Side
from splitcore.wire.protocol.limits import FrameLimits, Sizes, session_limits
from splitcore.wire.protocol.messages import Kind, Message, Phase, SessionIds

IDS = SessionIds("run-1", "Clinic A", 3)
ADAPTERS = {"layers.0.q.lora_A": (4, 16), "layers.0.q.lora_B": (16, 4)}
ROWS, LENGTH, WIDTH = 4, 12, 16


def limits(side: Side, *, codec: str = "fp32", labels: bool = False, ids: SessionIds = IDS) -> FrameLimits:
    sizes = Sizes(rows=ROWS, length=LENGTH, width=WIDTH, vocabulary=100, adapters=ADAPTERS)
    return limits_of(ids, side, sizes, codec=codec, labels=labels)


def limits_of(
    ids: SessionIds, side: Side, sizes: Sizes, *, codec: str = "fp32", labels: bool = False, clients: int = 2
) -> FrameLimits:
    """Of a run that sums the adapters' gradients of its parties, where there are several."""
    topology = "vanilla" if labels else "u_shape"
    config = RunConfig.parse(
        {
            "model": {"name_or_path": "m"},
            "split": {"topology": topology},
            "wire": {"activations": codec, "gradients": codec},
        }
    )
    return session_limits(ids, side, carried_to(flows_of(config, anyone(clients))), sizes)


def head_up(step: int = 0, *, codec: str = "fp32", rows: int = ROWS, length: int = LENGTH) -> Message:
    generator = torch.Generator().manual_seed(step)
    hidden_BLD = torch.randn(rows, length, WIDTH, generator=generator)
    mask_BL = torch.ones(rows, length, dtype=torch.uint8)
    tensors = {"hidden": encode(hidden_BLD, codec), "mask": encode(mask_BL, "u8")}
    return Message(Kind.ACTIVATIONS, step=step, phase=Phase.HEAD_UP, tensors=tensors)


def body_down(step: int, hidden_BLD: torch.Tensor, *, codec: str = "fp32") -> Message:
    return Message(Kind.ACTIVATIONS, step=step, phase=Phase.BODY_DOWN, tensors={"hidden": encode(hidden_BLD, codec)})
