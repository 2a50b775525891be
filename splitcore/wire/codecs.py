"""Tensors to payloads and back (torch). One object per codec; the registry is `CODECS`.

message = Message(Kind.ACTIVATIONS, step=3, micro=0, phase=Phase.HEAD_UP,
                  tensors={"hidden": encode(hidden_BLD, "bf16"), "mask": encode(mask_BL, "u8")})
hidden_BLD = decode(message.tensors["hidden"], device=device, dtype=torch.float32)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import torch

from splitcore.wire.centred_codec import CentredCodec
from splitcore.wire.formats import FORMATS
from splitcore.wire.group_codec import GROUP_CODECS
from splitcore.wire.messages import FrameError, Payload
from splitcore.wire.packing import bytes_of, tensor_of
from splitcore.wire.rounding import NEAREST, Draw


class Codec(Protocol):
    """One encoding of tensors."""

    name: str

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        """The encoded form. It may share the tensor's memory: `Channel.send` copies it before it returns."""

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        """A new tensor of the codec's own number type, on `device` where the codec computes there, else on the CPU."""


class _PlainCodec:
    """A tensor's values as they are, cast to one number type."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.name = name
        self._dtype = dtype

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        plain = tensor.detach().to(device="cpu", dtype=self._dtype).contiguous()
        return Payload(self.name, tuple(plain.shape), (bytes_of(plain),))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        return tensor_of(payload.buffers, payload.shape, self._dtype)


class _Int8RowCodec:
    """int8 per token, symmetric: scale = max|x| / 127 over the last dimension; |x − x̂| ≤ scale / 2."""

    name = "int8"

    def encode(self, tensor: torch.Tensor, draw: Draw = NEAREST) -> Payload:
        values = tensor.detach().to(device="cpu", dtype=torch.float32)
        scale = values.abs().amax(dim=-1, keepdim=True) / 127
        # a NaN must stay one: it may not become an innocent integer that the receiver cannot see
        parts = torch.where(scale > 0, values / scale, torch.zeros_like(values))
        if draw.rounding == "stochastic":
            parts = parts.add_(draw.uniform(tuple(parts.shape), parts.device)).floor_()
        else:
            parts = parts.round()
        whole = parts.clamp(-127, 127).nan_to_num(0).to(torch.int8).contiguous()
        return Payload(self.name, tuple(values.shape), (bytes_of(whole), bytes_of(scale.squeeze(-1).contiguous())))

    def decode(self, payload: Payload, draw: Draw = NEAREST, device: torch.device | str | None = None) -> torch.Tensor:
        whole = tensor_of(payload.buffers[:1], payload.shape, torch.int8)
        scale = tensor_of(payload.buffers[1:], payload.shape[:-1], torch.float32)
        return whole.to(torch.float32) * scale.unsqueeze(-1)


_ALL: list[Codec] = [
    _PlainCodec("fp32", torch.float32),
    _PlainCodec("bf16", torch.bfloat16),
    _Int8RowCodec(),
    *(CentredCodec(codec) for codec in GROUP_CODECS.values()),
    _PlainCodec("i64", torch.int64),
    _PlainCodec("u8", torch.uint8),
]
CODECS: dict[str, Codec] = {codec.name: codec for codec in _ALL}


def encode(tensor: torch.Tensor, codec: str, draw: Draw = NEAREST) -> Payload:
    """Encode `tensor` with the codec of that name; gradients do not flow through. Raises FrameError CL-1308.

    `draw` says how a lossy codec rounds; the receiver of a randomly rotated tensor needs the same.
    """
    if codec not in CODECS:
        raise FrameError("CL-1308", f"There is no codec named '{codec}'.", details={"known": sorted(CODECS)})
    if tensor.dim() == 0:
        tensor = tensor.reshape(1)
    return CODECS[codec].encode(tensor, draw)


def decode(
    payload: Payload,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    draw: Draw = NEAREST,
) -> torch.Tensor:
    """A new tensor with the payload's values, on `device`, as `dtype` where given. Raises FrameError CL-1308, 1310."""
    if payload.codec not in CODECS:
        raise FrameError("CL-1308", f"There is no codec named '{payload.codec}'.", details={"known": sorted(CODECS)})
    expected, held = FORMATS[payload.codec].sizes(payload.shape), [memoryview(b).nbytes for b in payload.buffers]
    if tuple([sum(held)] if len(expected) == 1 else held) != expected:
        raise FrameError("CL-1310")
    return CODECS[payload.codec].decode(payload, draw, device).to(device=device, dtype=dtype)


def encode_all(tensors: Mapping[str, torch.Tensor], codec: str) -> dict[str, Payload]:
    """Encode several named tensors alike, in their order."""
    return {name: encode(tensor, codec) for name, tensor in tensors.items()}


def decode_all(
    payloads: Mapping[str, Payload], *, device: torch.device | str = "cpu", dtype: torch.dtype | None = None
) -> dict[str, torch.Tensor]:
    """Decode several named tensors alike, in their order."""
    return {name: decode(payload, device=device, dtype=dtype) for name, payload in payloads.items()}
