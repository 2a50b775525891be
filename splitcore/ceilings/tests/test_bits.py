"""B2 against exact attackers, and with whose κ it holds."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.ceilings import bits
from splitcore.ceilings.bits import Reference
from splitcore.ceilings.divergence import divergence, highest_mean, highest_success, lowest_mean
from splitcore.ceilings.kappa import Blind, Kappa, Prefix, Rest
from splitcore.ceilings.tradeoff import Distances
from splitcore.privacy.normal import cdf

WIDTH = 5


def test_a_coin_that_is_repeated_is_read_as_the_prefix_bound_says_and_a_blind_reader_s_chance_is_refused() -> None:
    """64 rows of ±a, all of one coin: guessed blindly by half, known to a reader of the prefix but for the first."""
    tokens, a = 64, 0.25
    exact = cdf(a * math.sqrt(tokens))  # without the prefix
    with_prefix = (tokens - 1 + cdf(a * math.sqrt(tokens))) / tokens
    nats = Reference(torch.zeros(tokens, 1)).nats(torch.full((tokens, 1), a)) / tokens
    assert Distances(torch.tensor([a * math.sqrt(tokens)])).ceiling(0.5) == pytest.approx(exact, abs=1e-9)
    assert exact == pytest.approx(0.97725, abs=1e-5)
    ceiling = bits.ceiling(Prefix((tokens - 0.5) / tokens), nats)
    assert ceiling >= max(0.99964, with_prefix)
    wrong = float(highest_success(0.5, nats))
    assert wrong < exact - 0.3
    for kappa in (Blind(0.5), Rest(0.5), Kappa(0.5)):
        with pytest.raises(TypeError, match="reader of the true prefix"):
            bits.ceiling(kappa, nats)  # type: ignore[arg-type]


def test_independent_fair_bits_are_read_as_the_tradeoff_says_and_no_more_than_their_nats_allow() -> None:
    a = 0.5
    by_distance = Distances(torch.tensor([a])).ceiling(0.5)
    nats = Reference(torch.zeros(1, 1), torch.tensor([[a * a]])).nats(torch.tensor([[a]]))
    by_bits = bits.ceiling(Prefix(0.5), nats)
    assert by_distance == pytest.approx(cdf(a), abs=1e-9)
    assert (round(by_distance, 4), round(by_bits, 4)) == (0.6915, 0.7317)
    assert by_bits <= 0.5 + bits.gain(nats)
    assert by_bits < bits.ceiling(Prefix(0.5), a * a / 2)  # a reference that knows how far rows spread is better


def test_a_hundredth_of_a_nat_is_little_and_a_bit_is_much() -> None:
    assert bits.gain(0.029 * math.log(2)) == pytest.approx(0.1, abs=0.001)
    assert bits.ceiling(Prefix(0.3), math.log(2)) == pytest.approx(0.865, abs=0.001)
    assert bits.bits(math.log(2)) == pytest.approx(1.0)


def test_the_nats_of_rows_are_the_divergence_of_two_normals() -> None:
    draw = torch.Generator().manual_seed(1)
    rows_ND, centre_ND = (torch.randn(3, WIDTH, generator=draw, dtype=torch.float64) for _ in range(2))
    root_DD = torch.randn(WIDTH, WIDTH, generator=draw, dtype=torch.float64)
    spread_DD = root_DD @ root_DD.t()
    reference = torch.distributions.MultivariateNormal(centre_ND, torch.eye(WIDTH).double() + spread_DD)
    released = torch.distributions.MultivariateNormal(rows_ND, torch.eye(WIDTH).double())
    exact = torch.distributions.kl_divergence(released, reference).sum()
    assert Reference(centre_ND, spread_DD).nats(rows_ND) == pytest.approx(float(exact), rel=1e-9)
    assert Reference(centre_ND).nats(rows_ND) == pytest.approx(float((rows_ND - centre_ND).square().sum()) / 2)


def test_rows_whose_spread_is_known_tell_half_its_log_determinant_on_average_and_never_more_than_the_capacity() -> None:
    draw = torch.Generator().manual_seed(2)
    spread_D = torch.tensor([4.0, 1.0, 0.2, 0.0, 9.0], dtype=torch.float64)
    rows_nD = torch.randn(20_000, WIDTH, generator=draw, dtype=torch.float64) * spread_D.sqrt()
    reference = Reference(torch.zeros(len(rows_nD), WIDTH), torch.diag(spread_D))
    mean = reference.nats(rows_nD) / len(rows_nD)
    assert mean == pytest.approx(float(torch.log1p(spread_D).sum()) / 2, rel=0.02)
    assert mean <= bits.capacity(math.sqrt(float(spread_D.sum())), WIDTH)


def test_no_record_within_the_clip_tells_more_than_the_largest() -> None:
    draw = torch.Generator().manual_seed(3)
    centre_ND = torch.randn(4, WIDTH, generator=draw, dtype=torch.float64)
    for spread_DD in (None, torch.diag(torch.tensor([4.0, 1.0, 0.2, 0.1, 9.0]))):
        reference = Reference(centre_ND, spread_DD)
        for _ in range(200):
            rows_ND = torch.randn(4, WIDTH, generator=draw, dtype=torch.float64)
            rows_ND = 3 * rows_ND / rows_ND.norm(dim=1, keepdim=True)
            assert reference.nats(rows_ND) <= reference.largest(3.0, 4)


def test_nats_are_shared_by_the_scored_tokens_and_not_by_all_rows() -> None:
    """One scored coin whose value stands in 16 rows: divided by 16, its bound would be below what is read."""
    rows, a = 16, 0.4
    nats = Reference(torch.zeros(rows, 1)).nats(torch.full((rows, 1), a))
    exact = cdf(a * math.sqrt(rows))
    nats_N, one_N, all_N = torch.full((50,), nats), torch.ones(50), torch.full((50,), float(rows))
    assert bits.ceiling(Prefix(0.5), bits.per_token(nats_N, one_N)) >= exact
    assert bits.ceiling(Prefix(0.5), bits.per_token(nats_N, all_N)) < exact - 0.1
    upper = bits.per_token_upper(nats_N, one_N, largest=2 * nats, longest=1)
    assert bits.per_token(nats_N, one_N) < upper <= 2 * nats / 0.8


@pytest.mark.parametrize("varies", ["nats", "tokens"])
def test_the_upper_end_per_token_covers_what_varies_from_record_to_record(varies: str) -> None:
    draw, repeats, count = torch.Generator().manual_seed(5), 400, 60
    rare_RN = torch.rand(repeats, count, generator=draw) < 0.2
    nats_RN = torch.where(rare_RN, 3.0, 0.5) if varies == "nats" else torch.full((repeats, count), 3.0)
    tokens_RN = torch.where(rare_RN, 20, 2) if varies == "tokens" else torch.full((repeats, count), 20)
    truth = (1.0 if varies == "nats" else 3.0) / (5.6 if varies == "tokens" else 20)
    upper = [bits.per_token_upper(nats_N, tokens_N, largest=3.0, longest=20)
             for nats_N, tokens_N in zip(nats_RN, tokens_RN, strict=True)]  # fmt: skip
    assert sum(one >= truth for one in upper) / repeats >= 0.95
    plain = [bits.per_token(nats_N, tokens_N) for nats_N, tokens_N in zip(nats_RN, tokens_RN, strict=True)]
    assert sum(one >= truth for one in plain) / repeats < 0.7


def test_a_record_beyond_its_bounds_is_refused() -> None:
    nats_N, scored_N = torch.tensor([1.0, 2.0]), torch.tensor([3, 4])
    with pytest.raises(ValueError, match="bound"):
        bits.per_token_upper(nats_N, scored_N, largest=1.9, longest=4)
    with pytest.raises(ValueError, match="bound"):
        bits.per_token_upper(nats_N, scored_N, largest=2.0, longest=3)


def test_the_inversions_of_the_divergence_are_its_edges() -> None:
    a, nats = torch.tensor([0.0, 0.02, 0.3, 0.97]), 0.04
    high, low, success = highest_mean(a, nats), lowest_mean(a, nats), highest_success(a, nats)
    assert torch.allclose(divergence(a, high), torch.full_like(high, nats), atol=1e-9)
    assert torch.allclose(divergence(a[1:], low[1:]), torch.full_like(low[1:], nats), atol=1e-9)
    assert torch.allclose(divergence(success[1:3], a[1:3]), torch.full_like(low[1:3], nats), atol=1e-9)
    assert (float(low[0]), float(success[0])) == pytest.approx((0.0, 0.0), abs=1e-15)
    assert float(success[3]) == 1.0  # d(1‖0.97) is below 0.04


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_what_is_no_success_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Prefix(value)
