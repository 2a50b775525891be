"""The exact reader of a planted value, against formulas."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.ceilings.confidence import Hits
from splitcore.ceilings.secrets import bayes
from splitcore.ceilings.tests.toys import orthogonal_bayes
from splitcore.privacy.normal import cdf


def test_two_values_are_told_apart_as_often_as_their_distance_allows() -> None:
    rows_mF = torch.zeros(2, 30)
    rows_mF[1, 7] = 3.0
    found = bayes([rows_mF], 1.5, draws=100_000)
    assert found.value == pytest.approx(cdf(1.0), abs=0.005)
    assert found.lower() < cdf(1.0) < found.upper()


@pytest.mark.parametrize(("values", "deviation"), [(10, 1.0), (100, 0.6), (1000, 0.4)])
def test_equidistant_values_are_read_as_the_integral_says(values: int, deviation: float) -> None:
    found = bayes([torch.eye(values) + 5.0], deviation, draws=10_000)  # what all share is no help
    assert found.value == pytest.approx(orthogonal_bayes(values, math.sqrt(2) / deviation), abs=0.015)


def test_carriers_count_alike_and_values_that_look_alike_are_guessed() -> None:
    same_mF, apart_mF = torch.zeros(4, 3), 1e3 * torch.eye(4)
    found = bayes([same_mF, apart_mF], 1.0, draws=20_000)
    assert found.value == pytest.approx((0.25 + 1.0) / 2, abs=0.015)
    assert found.draws == 20_000


def test_the_ends_hold_the_share_between_them() -> None:
    found = Hits(30, 200)
    assert found.lower() < found.value == 0.15 < found.upper()
    assert found.upper(0.001) > found.upper()
