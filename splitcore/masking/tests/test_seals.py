"""What one party hands on to another: nobody in between reads it, changes it or gives another for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from splitcore.errors import AppError
from splitcore.masking.seals import Seals
from splitcore.masking.tests.reading import is_uniform
from splitcore.wire.protocol.limits import ABS_MAX, SEAL_BYTES

SHAPES = {"b": (64, 64), "a": (4, 1024)}
MOMENTS = {f"{name}::exp_avg": shape for name, shape in SHAPES.items()}
WEIGHTS = {name: torch.ones(shape) for name, shape in SHAPES.items()}
ALL = WEIGHTS | {name: torch.full(shape, 2.0) for name, shape in MOMENTS.items()}
SECRETS = {"ab": b"1" * 32, "ac": b"2" * 32, "bc": b"3" * 32}


def seals(party: str) -> Seals:
    others = [name for name in "abc" if name != party]
    return Seals(party, {other: SECRETS["".join(sorted(party + other))] for other in others})


@pytest.mark.parametrize("tensors", [WEIGHTS, ALL])
def test_the_receiver_opens_what_was_sealed_for_it(tensors: dict[str, torch.Tensor]) -> None:
    sealed = seals("a").sealed("b", 3, tensors)
    assert len(sealed) == 4 * sum(value.numel() for value in tensors.values()) + SEAL_BYTES
    opened = seals("b").opened("a", 3, sealed, SHAPES, MOMENTS)
    assert opened.keys() == tensors.keys()
    assert all(torch.equal(opened[name], value) for name, value in tensors.items())


def test_what_is_sealed_looks_drawn_at_random_and_never_the_same() -> None:
    sent = [seals("a").sealed(receiver, step, ALL) for receiver, step in (("b", 1), ("b", 2), ("c", 1))]
    words = [sealed[: len(sealed) // 8 * 8].clone().view(torch.int64) for sealed in sent]
    assert all(is_uniform(word) for word in words)
    assert is_uniform(words[1] - words[0])
    assert is_uniform(words[2] - words[0])


def _altered(sealed: torch.Tensor) -> torch.Tensor:
    return torch.cat([sealed[:9], sealed[9:10] ^ 1, sealed[10:]])


@pytest.mark.parametrize(
    "opened",
    [
        lambda sealed: seals("b").opened("a", 3, _altered(sealed), SHAPES, MOMENTS),
        lambda sealed: seals("b").opened("a", 4, sealed, SHAPES, MOMENTS),  # of another step
        lambda sealed: seals("b").opened("c", 3, sealed, SHAPES, MOMENTS),  # of another sender
        lambda sealed: seals("c").opened("a", 3, sealed, SHAPES, MOMENTS),  # for another receiver
        lambda sealed: seals("a").opened("b", 3, sealed, SHAPES, MOMENTS),  # sent back
        lambda sealed: seals("b").opened("a", 3, sealed, {"a": (4, 1024)}, {}),  # of other shapes
    ],
)
def test_anything_else_is_refused(opened: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(AppError, match="CL-1539"):
        opened(seals("a").sealed("b", 3, WEIGHTS))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 2e9, -2e9])
@pytest.mark.parametrize("name", ["a", "b::exp_avg"])
def test_what_the_wire_would_refuse_is_refused_when_it_is_opened(name: str, value: float) -> None:
    bad = {key: tensor.clone() for key, tensor in ALL.items()}
    bad[name].view(-1)[-1] = value
    with pytest.raises(AppError, match="that a handed on") as caught:
        seals("b").opened("a", 3, seals("a").sealed("b", 3, bad), SHAPES, MOMENTS)
    assert (caught.value.code, caught.value.details) == ("CL-1539", {"party": "a"})


def test_the_largest_value_of_the_wire_is_taken() -> None:
    most = {**WEIGHTS, "a": torch.full(SHAPES["a"], -ABS_MAX)}
    opened = seals("b").opened("a", 3, seals("a").sealed("b", 3, most), SHAPES, MOMENTS)
    assert torch.equal(opened["a"], most["a"])


def test_a_second_message_under_one_key_is_refused() -> None:
    own = seals("a")
    own.sealed("b", 3, WEIGHTS)
    own.sealed("c", 3, WEIGHTS)
    with pytest.raises(RuntimeError, match="used twice"):
        own.sealed("b", 3, ALL)
