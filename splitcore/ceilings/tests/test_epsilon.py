"""(ε, δ) of one pooled vector per record: the table of what it means, in its own digits."""

from __future__ import annotations

import pytest

from splitcore.ceilings.epsilon import PooledRelease, from_epsilon_alone, largest_epsilon
from splitcore.privacy.calibration import DELTA, Adjacency, epsilon_of, pair_distance
from splitcore.privacy.normal import hockey_stick, tradeoff

TABLE = {  # ε: σ/sensitivity, C/σ, bits; % at κ .01, .05, .1; gain; a record at κ 1e-6; membership: points, AUC, TPR
    1: "3.73 0.134 0.013 1.42 6.5 12.6 5.3 1.9e-06 10.7 0.575 2.0",
    2: "1.99 0.251 0.045 1.90 8.2 15.1 10.0 3.4e-06 19.8 0.639 3.4",
    4: "1.08 0.462 0.154 3.12 11.9 20.6 18.3 8.9e-06 35.6 0.743 8.1",
    8: "0.600 0.833 0.50 6.77 20.8 32.7 32.3 4.4e-05 59.5 0.881 25.5",
}
KAPPAS = (0.001, 0.01, 0.02, 0.05, 0.1, 0.2, None)
LARGEST = {
    Adjacency.REPLACE_ONE: "21.4 11.2 8.5 5.5 3.78 2.60 2.00",
    Adjacency.ZERO_OUT: "8.9 4.9 3.8 2.5 1.73 1.20 0.93",
}


def printed(value: float, like: str) -> str:
    """With as many digits as another number has."""
    if "e" in like:
        return f"{value:.1e}"
    return f"{value:.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize("epsilon", TABLE)
def test_the_table_of_epsilon(epsilon: int) -> None:
    one = PooledRelease.calibrated(epsilon)
    found = [one.ratio / 2, one.reconstruction, one.bits, *(100 * one.ceiling(kappa) for kappa in (0.01, 0.05, 0.1))]
    found += [100 * one.gain, one.ceiling(1e-6)]
    found += [100 * one.membership_advantage, one.membership_auc, 100 * one.membership_at(0.01)]
    expected = TABLE[epsilon].split()
    assert [printed(value, like) for value, like in zip(found, expected, strict=True)] == expected


@pytest.mark.parametrize("adjacency", LARGEST)
def test_the_largest_epsilon_that_keeps_every_success_within_ten_points(adjacency: Adjacency) -> None:
    expected = LARGEST[adjacency].split()
    found = [largest_epsilon(0.1, kappa, adjacency=adjacency) for kappa in KAPPAS]
    assert [printed(value, like) for value, like in zip(found, expected, strict=True)] == expected
    for epsilon, kappa in zip(found, KAPPAS, strict=True):
        one = PooledRelease.calibrated(epsilon, adjacency=adjacency)
        assert (one.gain if kappa is None else one.ceiling(kappa) - kappa) == pytest.approx(0.1, abs=1e-9)


def test_eight_is_not_small() -> None:
    assert PooledRelease.calibrated(8).ceiling(0.1) > 0.1 + 0.2


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0, 8.0, 20.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-5, 1e-2])
@pytest.mark.parametrize("adjacency", list(Adjacency))
def test_the_noise_of_an_epsilon_has_that_epsilon(epsilon: float, delta: float, adjacency: Adjacency) -> None:
    one = PooledRelease.calibrated(epsilon, delta, adjacency)
    assert one.epsilon(delta, adjacency) == pytest.approx(epsilon, rel=1e-9)
    m = pair_distance(epsilon, delta)
    assert hockey_stick(epsilon, m) <= delta < hockey_stick(epsilon, m * (1 + 1e-9))
    assert adjacency.radii / one.ratio == pytest.approx(m)


def test_noise_that_hides_a_pair_to_delta_has_epsilon_zero_and_little_noise_still_a_finite_one() -> None:
    assert epsilon_of(1e-6, DELTA) == 0.0
    assert epsilon_of(40.0, DELTA) == pytest.approx(40.0**2 / 2 + 40.0 * 4.26, rel=0.001)


def test_of_the_ball_s_diameter_a_ceiling_would_be_far_too_high() -> None:
    one = PooledRelease.calibrated(8)
    assert [printed(100 * tradeoff(kappa, one.pairs), "0.0") for kappa in (0.01, 0.1)] == ["25.5", "65.0"]


def test_epsilon_and_delta_alone_say_much_less() -> None:
    found = {e: [100 * from_epsilon_alone(kappa, e, DELTA) for kappa in (0.01, 0.1)] for e in (1, 4, 8)}
    assert found[1] == pytest.approx([2.7, 27.2], abs=0.05)
    assert found[4] == pytest.approx([54.6, 98.4], abs=0.05)
    assert found[8] == pytest.approx([99.97, 99.97], abs=0.005)
    for epsilon in (1, 4, 8):
        for kappa in (0.01, 0.1, 0.5):
            assert from_epsilon_alone(kappa, epsilon, DELTA) >= PooledRelease.calibrated(epsilon).ceiling(kappa)


def test_a_reader_of_the_true_prefix_gains_less_of_longer_records() -> None:
    eight, four = PooledRelease.calibrated(8), PooledRelease.calibrated(4)
    assert eight.token_gain(18) <= 0.1 < eight.token_gain(17)
    found = [100 * one.token_gain(tokens) for one, tokens in ((eight, 32), (eight, 64), (four, 32))]
    assert found == pytest.approx([7.4, 5.2, 4.1], abs=0.05)
