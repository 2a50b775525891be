"""Codecs: what a round trip keeps, and how many bytes it takes."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from splitcore.codecs.registry import FORMATS, payload_bytes
from splitcore.codecs.tensors import decode, decode_all, encode
from splitcore.errors import AppError


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize(
    ("codec", "tensor"),
    [
        ("fp32", normal(2, 3, 5)),
        ("bf16", normal(2, 3, 5).bfloat16()),
        ("i64", torch.tensor([[-100, 5], [2**40, 0]])),
        ("u8", torch.tensor([0, 1, 255], dtype=torch.uint8)),
    ],
)
def test_plain_codecs_give_back_the_same_bits(codec: str, tensor: torch.Tensor) -> None:
    payload = encode(tensor, codec)
    assert payload.nbytes == payload_bytes(codec, tensor.shape)
    back = decode(payload)
    assert back.dtype == tensor.dtype
    assert torch.equal(back, tensor)


def test_bf16_rounds_as_torch_does() -> None:
    tensor = normal(4, 7)
    assert torch.equal(decode(encode(tensor, "bf16")), tensor.bfloat16())
    assert decode(encode(tensor, "bf16"), dtype=torch.float32).dtype == torch.float32


def test_int8_error_is_at_most_half_a_scale_per_token_and_the_size_a_quarter() -> None:
    tensor = normal(3, 9, 512) * torch.logspace(-3, 3, 9).reshape(1, 9, 1)
    payload = encode(tensor, "int8")
    scale = tensor.abs().amax(-1, keepdim=True) / 127
    assert ((decode(payload) - tensor).abs() <= scale * (0.5 + 1e-4)).all()
    assert tensor.numel() * 4 / payload.nbytes >= 3.9
    assert payload.nbytes == payload_bytes("int8", tensor.shape)


def test_int8_keeps_a_row_of_zeros_and_does_not_hide_a_nan() -> None:
    tensor = torch.zeros(2, 4)
    assert torch.equal(decode(encode(tensor, "int8")), tensor)
    tensor[1, 2] = float("nan")
    assert not FORMATS["int8"].within(encode(tensor, "int8").buffers, 0, 1e9)


def test_a_payload_does_not_follow_later_changes_of_a_decoded_tensor() -> None:
    payload = encode(torch.ones(3), "fp32")
    decode(payload).zero_()
    assert decode(payload).sum() == 3


def test_strided_tensors_and_gradients_are_encoded_by_value() -> None:
    tensor = normal(4, 6).requires_grad_()
    assert torch.equal(decode(encode(tensor.t(), "fp32")), tensor.t())
    named = {"a": normal(2), "b": normal(3, 1)}
    back = decode_all({name: encode(tensor, "fp32") for name, tensor in named.items()})
    assert list(back) == ["a", "b"]
    assert all(torch.equal(back[name], named[name]) for name in named)


def test_an_unknown_codec_is_refused_by_name() -> None:
    with pytest.raises(AppError, match="CL-1308") as caught:
        encode(torch.ones(1), "zip")
    assert "bf16" in caught.value.details["known"]


@pytest.mark.parametrize("codec", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 1e38, -1e10])
def test_the_value_check_sees_one_bad_value_among_many(codec: str, bad: float) -> None:
    tensor = normal(3, 70_001)
    assert FORMATS[codec].within(encode(tensor, codec).buffers, 0, 1e9)
    tensor[1, 69_999] = bad
    assert not FORMATS[codec].within(encode(tensor, codec).buffers, 0, 1e9)


def test_messages_frames_channels_and_grpc_load_no_torch() -> None:
    code = (
        "import sys, splitcore.wire.transport.grpc_listener, splitcore.wire.transport.memory, splitcore.planning;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
