"""B1 against exact attackers: where it is tight, where it is slack, and which mistakes would show."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.ceilings import bits
from splitcore.ceilings.kappa import Prefix
from splitcore.ceilings.tests.toys import Enumerated, Labels, orthogonal_bayes
from splitcore.ceilings.tradeoff import Distances, odds, of_pairs
from splitcore.ceilings.tradeoff import hockey_stick as hockey_stick_of_all
from splitcore.privacy.normal import advantage, cdf, hockey_stick, quantile, tradeoff

SEEDS, DEVIATIONS = (1, 2, 3), (0.5, 1.0, 2.0, 4.0, 8.0)
DRAWS = 1500
SAMPLING = 0.01  # of a mean over the draws


def of(*m: float) -> Distances:
    return Distances(torch.tensor(m, dtype=torch.float64))


@pytest.mark.parametrize("ratio", [0.05, 0.5, 1.0, 2.5])
def test_two_opposite_points_are_told_apart_exactly_as_often_as_the_ceiling_says(ratio: float) -> None:
    exact = cdf(ratio)  # the sign of the release along the line
    assert of(ratio).ceiling(0.5) == pytest.approx(exact, abs=1e-9)
    assert of(ratio, ratio).ceiling(0.5) == pytest.approx(exact, abs=1e-9)
    by_diameter = of(2 * ratio).ceiling(0.5)  # a mutant: the distance of the two points instead of that from the middle
    assert by_diameter == pytest.approx(cdf(2 * ratio), abs=1e-9)
    assert by_diameter > exact + 1e-3


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_less_noise_than_declared_shows_at_two_opposite_points(share: float) -> None:
    draw = torch.Generator().manual_seed(1)
    value_n = torch.randint(2, (200_000,), generator=draw) * 2 - 1
    declared, right = 1.0, list[float]()
    for deviation in (declared, declared * share):
        released_n = value_n + deviation * torch.randn(len(value_n), generator=draw)
        right.append(float((released_n.sign() == value_n).double().mean()))
    ceiling = of(1 / declared).ceiling(0.5)
    assert right[0] == pytest.approx(ceiling, abs=0.005)
    assert right[1] > ceiling + 0.05


def test_one_noise_row_for_all_rows_shows_at_two_opposite_points() -> None:
    draw = torch.Generator().manual_seed(1)
    value_n = torch.randint(2, (1000,), generator=draw) * 2.0 - 1
    rows_n2 = torch.stack([value_n, torch.zeros(1000)], dim=1)  # the second row is the same for both points
    released_n2 = rows_n2 + 5 * torch.randn(1000, 1, generator=draw)
    read = ((released_n2[:, 0] - released_n2[:, 1]).sign() == value_n).double().mean()
    assert float(read) == 1.0 > of(1 / 5).ceiling(0.5)


@pytest.mark.parametrize("vocabulary", [4, 16, 256, 49_152])
@pytest.mark.parametrize("ratio", [0.5, 1, 2, 3, 4, 5, 6, 7, 8])
def test_equidistant_candidates_lie_seven_points_below_it_at_most(vocabulary: int, ratio: float) -> None:
    exact = orthogonal_bayes(vocabulary, ratio)
    ceiling = of(ratio * math.sqrt((1 - 1 / vocabulary) / 2)).ceiling(1 / vocabulary)
    assert exact <= ceiling + 1e-9
    assert ceiling <= exact + 0.07


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_on_an_enumerated_world_no_attacker_and_no_genie_is_above_its_ceiling(seed: int, deviation: float) -> None:
    world = Enumerated(seed)
    found, chance = world.successes(deviation, DRAWS), world.chance
    record = Distances(world.record_distances(deviation), world.prior.flatten())
    token = Distances(world.token_distances(deviation), world.prior.flatten().repeat(4))
    by_bits = bits.ceiling(Prefix(chance.prefix), world.nats(deviation))
    assert chance.bayes <= found.bayes + SAMPLING
    assert found.bayes <= found.prefix + SAMPLING
    assert found.bayes <= found.rest + SAMPLING
    assert found.bayes <= record.ceiling(chance.bayes) + SAMPLING
    assert found.prefix <= by_bits + SAMPLING
    assert found.rest <= token.ceiling(chance.rest) + SAMPLING
    assert found.bayes - chance.bayes <= record.gain() + SAMPLING
    assert found.rest - chance.rest <= token.gain() + SAMPLING


@pytest.mark.parametrize("deviation", [2.0, 4.0, 8.0])
def test_labels_are_read_from_noisy_gradients_no_more_often_than_their_norms_allow(deviation: float) -> None:
    world = Labels()
    m_NV = world.gradient_NVD.norm(dim=-1) / deviation  # from zero: no label needs to be enumerated
    ceiling = Distances(m_NV.flatten(), world.prior_NV.flatten()).ceiling(world.chance)
    exact = world.bayes(deviation)
    assert world.chance < exact <= ceiling < 1.0
    assert world.bayes(0.01) == pytest.approx(1.0, abs=1e-6)


def test_of_one_distance_it_is_the_tradeoff_of_two_normals_and_of_many_no_more_than_the_largest_ones() -> None:
    for kappa in (1e-6, 0.01, 0.3, 0.7):
        for m in (0.0, 1e-3, 0.4, 3.0, 20.0):
            assert of(m).ceiling(kappa) == pytest.approx(tradeoff(kappa, m), abs=1e-9)
        mixed = of(0.2, 1.0, 4.0)
        assert mixed.ceiling(kappa) <= tradeoff(kappa, 4.0) + 1e-12
        assert mixed.ceiling(kappa) <= kappa + mixed.gain() + 1e-12
        grid = min(mixed.at(log_g, kappa) for log_g in torch.linspace(-14, 14, 7001).tolist())
        assert mixed.ceiling(kappa) == pytest.approx(min(1.0, grid), abs=1e-5)
        assert mixed.ceiling(kappa) <= grid + 1e-12
    assert (of(1.0).ceiling(0.0), of(1.0).ceiling(1.0)) == (0.0, 1.0)


def test_records_count_for_their_weight() -> None:
    repeated = of(0.3, 0.3, 0.3, 2.0)
    weighted = Distances(torch.tensor([0.3, 2.0]), torch.tensor([3, 1]))
    assert weighted.ceiling(0.2) == pytest.approx(repeated.ceiling(0.2), abs=1e-6)
    assert weighted.gain() == pytest.approx(repeated.gain(), abs=1e-6)


def test_a_reference_that_guesses_the_token_leaves_nothing_where_it_is_right() -> None:
    right, wrong = [0.0] * 80, [1.5] * 20
    assert of(*right, *wrong).gain() == pytest.approx(0.2 * advantage(1.5))
    assert of(*right, *[40.0] * 20).ceiling(0.8) == pytest.approx(1.0, abs=1e-9)


def test_the_two_forms_of_the_divergence_agree_and_are_right_at_their_ends() -> None:
    for log_g in (-30.0, -1.0, 0.0, 0.7, 12.0):
        for m in (0.0, 1e-6, 0.1, 1.0, 9.0, 30.0):
            (value,) = hockey_stick_of_all(log_g, torch.tensor([m])).tolist()
            assert value == pytest.approx(hockey_stick(log_g, m), abs=1e-9)
    assert hockey_stick(0.0, 1.3) == pytest.approx(advantage(1.3), abs=1e-12)
    assert hockey_stick(-40.0, 1.3) == pytest.approx(1.0, abs=1e-12)


def test_of_pairs_it_is_the_total_variation_above_chance() -> None:
    assert of_pairs(0.3, 1.2) == pytest.approx(0.3 + 0.7 * advantage(1.2))
    assert of_pairs(0.5, 2.0) == pytest.approx(of(1.0).ceiling(0.5) - 0.5 + 0.5, abs=0.01)


def test_the_odds_on_the_true_record_rise_by_more_in_one_release_of_twenty() -> None:
    m = 0.8
    draw = torch.randn(200_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    ratio = torch.exp(m * (draw + m) - m * m / 2)  # of the likelihoods, where the record is the true one
    assert float((ratio > odds(m)).double().mean()) == pytest.approx(0.05, abs=0.003)


@pytest.mark.parametrize("m", [[], [math.nan], [math.inf], [-0.1]])
def test_what_is_no_distance_is_refused(m: list[float]) -> None:
    with pytest.raises(ValueError, match=r"released|distance"):
        of(*m)


def test_the_quantile_is_infinite_at_the_ends() -> None:
    assert (quantile(0.0), quantile(1.0)) == (-math.inf, math.inf)
