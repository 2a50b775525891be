"""Whole numbers modulo 2^64: how exact they are, and where they end."""

from __future__ import annotations

import pytest
import torch

from splitcore.errors import AppError
from splitcore.masking.fixed_point import RANGE, STEP, from_fixed, to_fixed


def bound(parties: int) -> torch.Tensor:
    """The largest fp32 number that so many parties may each send."""
    return torch.nextafter(torch.tensor(RANGE / parties), torch.tensor(0.0))


@pytest.mark.parametrize("parties", [2, 3, 7, 64])
def test_a_sum_is_exact_to_half_a_step_for_each_party(parties: int) -> None:
    torch.manual_seed(parties)
    brought = [torch.randn(1000) * 10.0 ** torch.randint(-9, 4, (1000,)) for _ in range(parties)]
    sums = sum(to_fixed({"x": values}, parties=parties)["x"] for values in brought)
    assert isinstance(sums, torch.Tensor)
    exact = torch.stack(brought).double().sum(0)
    found = from_fixed({"x": sums})["x"]
    assert bool(((found.double() - exact).abs() <= parties * STEP / 2 + exact.abs() * 2.0**-24).all())


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("parties", [2, 3, 5, 8])
def test_the_largest_numbers_of_all_parties_do_not_overflow(parties: int, sign: float) -> None:
    fixed = to_fixed({"x": sign * bound(parties).reshape(1)}, parties=parties)["x"]
    sums = fixed.clone()
    for _ in range(parties - 1):
        sums += fixed
    found = float(from_fixed({"x": sums})["x"])
    assert found == pytest.approx(sign * parties * float(bound(parties)), rel=2.0**-23)


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("kind", ["beyond", "beyond below", "nan", "inf"])
def test_what_does_not_fit_is_refused_before_it_is_masked(kind: str, parties: int) -> None:
    value = {
        "beyond": torch.tensor(RANGE / parties).nextafter(torch.tensor(1e30)),
        "beyond below": -torch.tensor(RANGE / parties).nextafter(torch.tensor(1e30)),
        "nan": torch.tensor(float("nan")),
        "inf": torch.tensor(float("-inf")),
    }[kind]
    with pytest.raises(AppError, match="CL-1537") as caught:
        to_fixed({"fits": torch.zeros(2), "weight": torch.stack([torch.tensor(1.0), value])}, parties=parties)
    assert caught.value.details["tensor"] == "weight"


def test_a_share_of_a_weight_is_rounded_once() -> None:
    weight = torch.tensor([0.1, -3.0, 1e-7])
    fixed = to_fixed({"x": weight}, parties=2, factor=1 / 3)["x"]
    assert bool((from_fixed({"x": fixed}, factor=3.0)["x"] - weight).abs().max() <= 2 * STEP)
