"""A run's ceiling."""

from __future__ import annotations

import pytest
import torch

from splitcore.ceilings import bits
from splitcore.ceilings.figure import KAPPAS, Ceilings
from splitcore.ceilings.kappa import Blind, Prefix, Rest
from splitcore.ceilings.tradeoff import Distances


def ceilings(*, record: float, token: float, nats: float) -> Ceilings:
    return Ceilings(Distances(torch.tensor([record])), Distances(torch.tensor([token])), nats)


@pytest.mark.parametrize(
    ("record", "token", "nats", "bound"),
    [(0.1, 9.0, 9.0, "record"), (9.0, 0.1, 9.0, "token"), (9.0, 9.0, 0.001, "bits")],
)
def test_the_smallest_bound_counts_each_with_its_own_reader_s_chance(
    record: float, token: float, nats: float, bound: str
) -> None:
    found = ceilings(record=record, token=token, nats=nats)
    at = found.at(Blind(0.1), Prefix(0.3), Rest(0.6))
    assert at.bound == bound
    assert at.value == min(found.record.ceiling(0.1), bits.ceiling(Prefix(0.3), nats), found.token.ceiling(0.6))
    assert at.says_something


def test_a_curve_is_at_fixed_chances_and_gains_are_told_for_each_kind_of_attacker() -> None:
    found = ceilings(record=0.5, token=0.4, nats=0.1)
    assert [kappa for kappa, _ in found.curve()] == list(KAPPAS)
    assert all(kappa < ceiling.value <= kappa + max(found.gains().values()) for kappa, ceiling in found.curve())
    assert set(found.gains()) == {"record", "bits", "token"}


def test_where_it_is_at_99_percent_noise_of_that_size_bounds_nothing() -> None:
    loud, quiet = (ceilings(record=m, token=m, nats=m * m / 2) for m in (0.2, 12.0))
    assert str(loud.curve()[0][1]).startswith("at most 1")
    assert {str(ceiling) for _, ceiling in quiet.curve()} == {"noise of this size bounds nothing"}
