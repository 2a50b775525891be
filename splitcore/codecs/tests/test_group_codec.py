"""Low-bit codecs: error bounds, bytes, unbiased rounding, and that no bytes make a value that is not finite."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from splitcore.codecs.groups.codec import GROUP_CODECS, rotate, scale_table
from splitcore.codecs.groups.config import GROUP_FORMATS
from splitcore.codecs.payload import Payload
from splitcore.codecs.registry import FORMATS, payload_bytes
from splitcore.codecs.rounding import Draw, seed_of
from splitcore.codecs.tensors import decode, encode

ERRORS = {"int6": 0.0015, "int5": 0.0045, "int4": 0.014, "int3": 0.045, "int2": 0.15, "ternary": 0.25}
BITS = {"int6": 6, "int5": 5, "int4": 4, "int3": 3, "int2": 2, "ternary": 1.6}


def hidden_states(*shape: int) -> torch.Tensor:
    """Tokens of different size, with a channel that is far larger than the others, as real models have."""
    generator = torch.Generator().manual_seed(3)
    values = torch.randn(*shape, generator=generator) * torch.rand(*shape[:-1], 1, generator=generator).exp()
    values[..., 5] *= 50
    return values


def lost(tensor: torch.Tensor, back: torch.Tensor) -> float:
    """Share of the energy that a round trip lost."""
    return float((tensor - back).square().sum() / tensor.square().sum())


@pytest.mark.parametrize("codec", GROUP_FORMATS)
@pytest.mark.parametrize("shape", [(2, 9, 192), (7, 50), (3, 1), (1, 640)])
def test_a_round_trip_loses_no_more_than_the_best_quantiser_of_a_gaussian(codec: str, shape: tuple[int, ...]) -> None:
    tensor = hidden_states(*shape) if shape[-1] > 5 else torch.randn(shape)
    payload = encode(tensor, codec)
    assert payload.nbytes == payload_bytes(codec, shape)
    assert FORMATS[codec].within(payload.buffers, 0, 1e9)
    back = decode(payload)
    assert back.shape == tensor.shape
    assert lost(tensor, back) < ERRORS[codec] * (1.0 if shape[0] * shape[-1] >= 1000 else 1.6)


@pytest.mark.parametrize("codec", GROUP_FORMATS)
def test_a_value_takes_its_bits_and_an_eighth_for_scales(codec: str) -> None:
    shape = (8, 100, 512)
    mean = 8 / 800  # a byte for each channel of 800 tokens
    assert payload_bytes(codec, shape) * 8 / (8 * 100 * 512) == pytest.approx(BITS[codec] + 0.125 + mean, abs=0.001)


@pytest.mark.parametrize("codec", [*GROUP_FORMATS, "int8"])
def test_stochastic_rounding_is_off_by_less_than_a_step_and_right_on_average(codec: str) -> None:
    tensor = torch.randn(3, 64, generator=torch.Generator().manual_seed(5))
    draws = [Draw("stochastic", seed_of(number)) for number in range(400)]
    payloads = [encode(tensor, codec, draw) for draw in draws]
    backs = torch.stack([decode(payload) for payload in payloads])
    single = backs.sub(tensor).square().sum(dim=(1, 2)).mean()
    assert backs.mean(0).sub(tensor).square().sum() < single / 400 * 2
    if codec in GROUP_CODECS:
        scale_N1 = scale_table(int(np.frombuffer(payloads[0].buffers[2], "<i4")[0]))[
            torch.frombuffer(bytearray(payloads[0].buffers[1]), dtype=torch.uint8).long()
        ].unsqueeze(1)
        assert ((rotate(backs[0]) - rotate(tensor)).abs() <= scale_N1 * 1.001).all()


@pytest.mark.parametrize("codec", GROUP_FORMATS)
def test_random_rotation_is_right_on_average_and_nearly_as_exact_as_the_nearest(codec: str) -> None:
    tensor = torch.randn(2, 192, generator=torch.Generator().manual_seed(6))
    draws = [Draw("rotated", seed_of(number)) for number in range(400)]
    backs = torch.stack([decode(encode(tensor, codec, draw), draw=draw) for draw in draws])
    single = float(sum(lost(tensor, back) for back in backs)) / 400
    nearest = decode(encode(tensor, codec))
    assert single < ERRORS[codec] * 1.35
    # a scale code rounds by up to 2 %, the same way in each draw, beside what chance leaves
    assert lost(tensor, backs.mean(0)) < single / 400 * 3 + 2e-4
    if codec in ("int3", "int2", "ternary"):
        assert lost(tensor, backs.mean(0)) < lost(tensor, nearest) / 20


def test_decoding_gives_the_same_bits_whatever_it_is_decoded_with() -> None:
    tensor = hidden_states(40, 192)
    codec = GROUP_CODECS["int3"]  # with a mean, other vectors would be another message
    payload = codec.encode(tensor)
    top = int(np.frombuffer(payload.buffers[2], "<i4")[0])
    whole = codec.decode(payload)
    for row in range(40):
        alone = codec.encode(tensor[row : row + 1])
        if int(np.frombuffer(alone.buffers[2], "<i4")[0]) <= top:
            assert torch.equal(codec.decode(alone)[0], whole[row])


@pytest.mark.parametrize("codec", GROUP_FORMATS)
@pytest.mark.parametrize("rounding", ["nearest", "stochastic", "rotated"])
def test_zeros_stay_zero_and_what_is_not_finite_is_not_hidden(codec: str, rounding: str) -> None:
    draw = Draw(rounding, 1)  # type: ignore[arg-type]
    tensor = torch.zeros(2, 3, 70)
    assert torch.equal(decode(encode(tensor, codec, draw), draw=draw), tensor)
    for bad in (float("nan"), float("inf"), -float("inf"), 3e38):
        tensor[1, 2, 3] = bad
        assert not FORMATS[codec].within(encode(tensor, codec, draw).buffers, 0, 1e9)


@pytest.mark.parametrize("codec", GROUP_FORMATS)
def test_whatever_bytes_are_let_in_mean_finite_values_within_the_bound(codec: str) -> None:
    dice, shape, let_in = random.Random(4), (2, 70), 0
    sizes = FORMATS[codec].sizes(shape)
    for _ in range(300):
        top = dice.choice([dice.randint(-2100, 2100), dice.randint(-(2**31), 2**31 - 1)])
        scale = dice.choice([np.float32(dice.uniform(0, 60)).tobytes(), dice.randbytes(sizes[4])])
        groups = (dice.randbytes(sizes[0]), dice.randbytes(sizes[1]), top.to_bytes(4, "little", signed=True))
        buffers = (*groups, dice.randbytes(sizes[3]), scale)
        if codec == "ternary":
            buffers = (bytes(byte % 243 for byte in buffers[0]), *buffers[1:])
        if FORMATS[codec].within(buffers, 0, 1e4):
            let_in += 1
            assert decode(Payload(codec, shape, buffers)).abs().max() <= 1e4
    assert let_in > 20


def test_a_byte_that_is_no_five_ternary_digits_is_refused() -> None:
    payload = encode(torch.ones(1, 64), "ternary")
    spoilt = (b"\xf3" + bytes(payload.buffers[0])[1:], *payload.buffers[1:])
    assert FORMATS["ternary"].within(payload.buffers, 0, 1e9)
    assert not FORMATS["ternary"].within(spoilt, 0, 1e9)


@pytest.mark.parametrize("codec", GROUP_FORMATS)
def test_what_all_vectors_have_in_common_costs_no_exactness(codec: str) -> None:
    shared = torch.randn(192, generator=torch.Generator().manual_seed(7)) * 30
    single = torch.randn(50, 192, generator=torch.Generator().manual_seed(8))
    back = decode(encode(single + shared, codec))
    assert lost(single, back - shared) < ERRORS[codec] * 1.1


def test_a_message_without_vectors_comes_back() -> None:
    assert decode(encode(torch.zeros(0, 192), "int4")).shape == (0, 192)
