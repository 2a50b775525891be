"""Masks: they cancel in the sum of all, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations

import pytest
import torch

from splitcore.codecs.tensors import encode
from splitcore.masking import masks
from splitcore.masking.fixed_point import from_fixed, to_fixed
from splitcore.masking.masks import Masks, Round
from splitcore.masking.tests.reading import readable

PARTIES = ["a", "b", "c", "d", "e"]
SIZE = 4096


def group(parties: int) -> list[Masks]:
    """Masks of so many parties, under secrets that are the same in each run of the tests."""
    names = PARTIES[:parties]
    pairs = {frozenset(pair): bytes([place]) * 32 for place, pair in enumerate(combinations(names, 2))}
    secrets = {own: {other: pairs[frozenset((own, other))] for other in names if other != own} for own in names}
    return [Masks(own, names, secrets[own]) for own in names]


def values(parties: int, step: int) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(step)
    return [{"x": torch.randn(SIZE // 2) * 1e-3, "y": torch.randn(2, SIZE // 4) * 1e-3} for _ in range(parties)]


def uploads(group: list[Masks], step: int) -> list[dict[str, torch.Tensor]]:
    brought = values(len(group), step)
    return [
        own.masked(to_fixed(part, parties=own.parties), Round.GRADIENTS, step, 100)
        for own, part in zip(group, brought, strict=True)
    ]


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_the_sum_of_all_is_the_sum_of_what_they_masked(parties: int) -> None:
    sent = uploads(group(parties), 1)
    for name in ("x", "y"):
        sums = sent[0][name].clone()
        for part in sent[1:]:
            sums += part[name]
        exact = torch.stack([part[name] for part in values(parties, 1)]).double().sum(0)
        assert float((from_fixed({name: sums})[name].double() - exact).abs().max()) < 1e-9


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_nothing_but_the_sum_of_all_can_be_read(parties: int) -> None:
    own = group(parties)
    assert readable([uploads(own, step) for step in (1, 2, 3)]) == []


def _no_mask(_secret: bytes, _place: bytes) -> object:
    class Zeros:
        update = staticmethod(bytes)

    return Zeros()


MUTANTS: dict[str, Callable[[Callable[..., object]], Callable[..., object]]] = {
    "no mask": lambda _real: lambda secret, place: _no_mask(secret, place),
    "the same mask in each step": lambda real: lambda secret, _place: real(secret, b"always"),
    "one mask for all pairs": lambda real: lambda _secret, place: real(bytes(32), place),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mask_that_hides_less_is_found_out(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    monkeypatch.setattr(masks, "_stream", MUTANTS[mutant](masks._stream))
    own = group(3)
    assert readable([uploads(own, step) for step in (1, 2, 3)])


def test_a_second_number_under_one_mask_is_refused() -> None:
    own = group(2)[0]
    fixed = {"x": torch.zeros(4, dtype=torch.int64)}
    own.masked(fixed, Round.GRADIENTS, 3, 100)
    for step in (3, 2):
        with pytest.raises(RuntimeError, match="used twice"):
            own.masked(fixed, Round.GRADIENTS, step, 100)
    own.masked(fixed, Round.WEIGHTS, 3, 100)  # another phase has masks of its own


def told_apart() -> Iterator[Callable[[Masks], tuple[int, int]]]:
    def noted(own: Masks) -> tuple[int, int]:
        own.note({"x": encode(torch.ones(3), "fp32")}, {})
        return 1, 100

    def said(own: Masks) -> tuple[int, int]:
        own.note({}, {"norm": 0.5})
        return 1, 100

    yield lambda _own: (1, 101)
    yield lambda _own: (2, 100)
    yield noted
    yield said


@pytest.mark.parametrize("told", list(told_apart()))
def test_masks_do_not_cancel_among_parties_that_were_told_different_things(
    told: Callable[[Masks], tuple[int, int]],
) -> None:
    one, other = group(2)
    fixed = {"x": torch.zeros(SIZE, dtype=torch.int64)}
    step, normaliser = told(other)
    sums = one.masked(fixed, Round.GRADIENTS, 1, 100)["x"] + other.masked(fixed, Round.GRADIENTS, step, normaliser)["x"]
    assert readable([[{"x": sums}]]) == []
