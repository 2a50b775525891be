"""A reader with a model of text: a ceiling in that model's world, an attack in any other."""

from __future__ import annotations

import math

import pytest
import torch

from splitcore.ceilings.genie import Role, Text, genie
from splitcore.privacy.normal import cdf

DRAWS, TRUST = 200_000, 0.999


def coin_world(*, copied: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A coin, another one that equals it with probability `copied`, and a release ±1 of the first with noise of 1."""
    draw = torch.Generator().manual_seed(5)
    rest_N = torch.randint(2, (DRAWS,), generator=draw)
    coin_N = torch.where(torch.rand(DRAWS, generator=draw) < copied, rest_N, 1 - rest_N)
    return coin_N, rest_N, 2.0 * coin_N - 1 + torch.randn(DRAWS, generator=draw, dtype=torch.float64)


def scores(rest_N: torch.Tensor, released_N: torch.Tensor) -> torch.Tensor:
    """Of both values (N, 2), by a model that says: as the rest."""
    value_2 = torch.arange(2)
    prior_N2 = torch.where(value_2 == rest_N[:, None], TRUST, 1 - TRUST).log()
    return prior_N2 - (released_N[:, None] - (2.0 * value_2 - 1)).square() / 2


def test_on_text_that_the_model_is_wrong_about_the_genie_is_an_attack_and_one_without_it_reads_more() -> None:
    coin_N, rest_N, released_N = coin_world(copied=0.5)
    score_N2 = scores(rest_N, released_N)
    own_N = score_N2.gather(1, coin_N[:, None]).squeeze(1)
    role, found = genie(own_N, score_N2, coin_N, text=Text.REAL)
    without = float(((released_N > 0) == (coin_N == 1)).double().mean())
    assert role is Role.ATTACK
    assert found.value == pytest.approx(0.503, abs=0.005)
    assert without == pytest.approx(cdf(1.0), abs=0.005) == pytest.approx(0.841, abs=0.005)
    assert found.upper() < without  # called a ceiling, it would be broken


def test_on_text_of_the_model_s_own_the_genie_is_a_ceiling() -> None:
    coin_N, rest_N, released_N = coin_world(copied=TRUST)
    score_N2 = scores(rest_N, released_N)
    own_N = score_N2.gather(1, coin_N[:, None]).squeeze(1)
    role, found = genie(own_N, score_N2, coin_N, text=Text.DRAWN)
    without = float(((released_N > 0) == (coin_N == 1)).double().mean())
    assert role is Role.CEILING
    assert found.value >= max(without, TRUST - 0.001)


def test_with_any_list_a_ceiling_counts_at_least_what_the_whole_vocabulary_gives() -> None:
    draw = torch.Generator().manual_seed(6)
    count, vocabulary = 3000, 40
    score_NV = torch.randn(count, vocabulary, generator=draw)
    true_N = torch.multinomial(torch.softmax(2 * score_NV, dim=1), 1, generator=draw).squeeze(1)
    own_N = score_NV.gather(1, true_N[:, None]).squeeze(1)
    whole_N = score_NV.argmax(1) == true_N
    for length in (1, 3, 10, vocabulary):
        listed_NL = torch.rand(count, vocabulary, generator=draw).argsort(1)[:, :length]
        inside_NL = listed_NL == true_N[:, None]
        place_N = torch.where(inside_NL.any(1), inside_NL.int().argmax(1), -1)
        listed_score_NL = score_NV.gather(1, listed_NL)
        each = [genie(own_N[i : i + 1], listed_score_NL[i : i + 1], place_N[i : i + 1], text=Text.DRAWN)[1].hits
                for i in range(0, count, 10)]  # fmt: skip
        assert all(counted >= whole for counted, whole in zip(each, whole_N[::10].int().tolist(), strict=True))
        _, ceiling = genie(own_N, listed_score_NL, place_N, text=Text.DRAWN)
        _, attack = genie(own_N, listed_score_NL, place_N, text=Text.REAL)
        assert attack.hits <= int(whole_N.sum()) if length == vocabulary else attack.hits < ceiling.hits
        assert ceiling.hits >= int(whole_N.sum())
        if length < vocabulary / 2:  # a list without the truth, counted as an attack is, lies below: no ceiling
            assert attack.hits < int(whole_N.sum())


def test_the_chance_of_the_counter_example_is_what_its_formula_says() -> None:
    trust = math.log(TRUST / (1 - TRUST)) / 2
    assert (cdf(1 + trust) + cdf(1 - trust)) / 2 == pytest.approx(0.503, abs=0.001)
