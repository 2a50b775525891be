"""Tensors to payloads and back, by a codec's name (torch).

message = Message(Kind.ACTIVATIONS, step=3, micro=0, phase=Phase.HEAD_UP,
                  tensors={"hidden": encode(hidden_BLD, "bf16"), "mask": encode(mask_BL, "u8")})
hidden_BLD = decode(message.tensors["hidden"], device=device, dtype=torch.float32)
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import torch

from splitcore.codecs.interface import Codec
from splitcore.codecs.payload import Payload
from splitcore.codecs.registry import FORMATS
from splitcore.codecs.rounding import NEAREST, Draw
from splitcore.errors import AppError


@cache
def _codec(name: str) -> Codec:
    """The codec of that name. Raises AppError CL-1308."""
    if name not in FORMATS:
        raise AppError("CL-1308", f"There is no codec named '{name}'.", details={"known": sorted(FORMATS)})
    return FORMATS[name].codec()


def encode(tensor: torch.Tensor, codec: str, draw: Draw = NEAREST) -> Payload:
    """Encode `tensor` with the codec of that name; gradients do not flow through. Raises AppError CL-1308.

    `draw` determines how a lossy codec rounds; the receiver of a randomly rotated tensor needs the same one.
    """
    found = _codec(codec)
    return found.encode(tensor.reshape(1) if tensor.dim() == 0 else tensor, draw)


def decode(
    payload: Payload,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    draw: Draw = NEAREST,
) -> torch.Tensor:
    """A new tensor with the payload's values, on `device`, as `dtype` where given. Raises AppError CL-1308, 1310."""
    found = _codec(payload.codec)
    expected, held = FORMATS[payload.codec].sizes(payload.shape), [memoryview(b).nbytes for b in payload.buffers]
    if tuple([sum(held)] if len(expected) == 1 else held) != expected:
        raise AppError("CL-1310")
    return found.decode(payload, draw, device).to(device=device, dtype=dtype)


def decode_all(
    payloads: Mapping[str, Payload], *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> dict[str, torch.Tensor]:
    """Decode several named tensors alike, in their order."""
    return {name: decode(payload, device=device, dtype=dtype) for name, payload in payloads.items()}
