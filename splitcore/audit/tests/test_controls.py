"""The controls on made-up guesses: a null that isn't one, records that are all alike, attacks that read nothing."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

import pytest
import torch

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.figures import Truth, figures_of
from splitcore.attacks.nearest_embedding.config import NearestEmbedding
from splitcore.audit.controls import no_defence, steady
from splitcore.audit.null import PARTNERS, SHUFFLES, null_figures, shuffled
from splitcore.audit.request import Answer
from splitcore.audit.scoring import Scored, scored

RECORDS = 60


def made_up(shared: int, own: int = 12) -> list[Truth]:
    """Records that have their first tokens in common."""
    draw = torch.Generator().manual_seed(3)
    rows = [torch.cat([torch.arange(shared), torch.randint(100, 900, (own,), generator=draw)]) for _ in range(RECORDS)]
    return [Truth(ids_N, torch.ones_like(ids_N, dtype=torch.bool), number) for number, ids_N in enumerate(rows)]


def result_of(truths: Sequence[Truth], guesses: Sequence[torch.Tensor]) -> Scored:
    answer = Answer(attack=0, seed=0, outcome="ran", guesses=[ids.tolist() for ids in guesses])
    return scored(NearestEmbedding(), [answer], truths, common=(), seed=0)


def test_the_null_of_a_perfect_attack_is_what_the_records_share() -> None:
    truths = made_up(shared=4)
    null = null_figures([truth.ids_N for truth in truths], truths, common=(), seed=0)
    assert null is not None
    assert null.tokens.value == pytest.approx(4 / 16, abs=0.02)
    assert fmean(shuffled([truth.ids_N for truth in truths], truths, seed=0)) == pytest.approx(4 / 16, abs=0.02)


def test_what_the_observer_knows_is_no_part_of_the_null() -> None:
    truths = made_up(shared=4)
    known = [Truth(truth.ids_N, torch.zeros_like(truth.scored_N), RECORDS + truth.record) for truth in made_up(8)[:9]]
    guesses = [torch.full_like(truth.ids_N, -1) for truth in truths]
    null = null_figures([*guesses, *(truth.ids_N for truth in known)], [*truths, *known], common=(), seed=0)
    assert null is not None
    assert null.tokens.value == 0.0
    assert set(shuffled([*guesses, *(truth.ids_N for truth in known)], [*truths, *known], seed=0)) == {0.0}


def test_records_with_the_same_text_are_no_null() -> None:
    truths = [Truth(torch.arange(5), torch.ones(5, dtype=torch.bool), number) for number in range(9)]
    found = result_of(truths, [truth.ids_N for truth in truths])
    assert found.result.null is None
    assert not steady(found, seed=0).passed


def test_a_null_on_the_attacked_records_themselves_is_caught() -> None:
    truths = made_up(shared=4)
    honest = result_of(truths, [truth.ids_N for truth in truths])
    assert steady(honest, seed=0).passed
    own = figures_of(honest.guesses, truths)
    cheated = Scored(honest.result.model_copy(update={"null": own}), honest.guesses, truths)
    assert not steady(cheated, seed=0).passed


def test_a_null_that_pairs_records_of_other_lengths_is_caught() -> None:
    """Guesses of shorter records leave the ends of longer ones unread, which makes the null look low."""
    draw = torch.Generator().manual_seed(8)
    lengths = torch.randint(4, 40, (RECORDS,), generator=draw).tolist()
    truths = [Truth(torch.arange(n), torch.ones(n, dtype=torch.bool), place) for place, n in enumerate(lengths)]
    honest = result_of(truths, [truth.ids_N for truth in truths])
    assert steady(honest, seed=0).passed
    places = sorted(range(RECORDS), key=lambda place: lengths[place])
    far = figures_of([truths[place].ids_N for place in places], [truths[place] for place in reversed(places)])
    assert not steady(Scored(honest.result.model_copy(update={"null": far}), honest.guesses, truths), seed=0).passed


def test_each_record_is_scored_against_another_one_in_every_derangement() -> None:
    truths = [Truth(torch.full((4,), n), torch.ones(4, dtype=torch.bool), n) for n in range(RECORDS)]
    shares = shuffled([truth.ids_N for truth in truths], truths, seed=1)
    assert (len(shares), set(shares)) == (SHUFFLES, {0.0})


def test_a_guess_that_serves_several_records_widens_the_null_s_interval() -> None:
    """One record's guess fits all others by luck: pairs drawn for themselves would hide that it is one record's."""
    draw = torch.Generator().manual_seed(9)
    truths = [Truth(torch.cat([torch.tensor([7]), torch.randint(100, 999, (9,), generator=draw)]),
                    torch.ones(10, dtype=torch.bool), n) for n in range(RECORDS)]  # fmt: skip
    guesses = [torch.tensor([7 if n < 6 else 1]) for n in range(RECORDS)]
    null = null_figures(guesses, truths, common=(), seed=0)
    assert null is not None
    pairs = [(a, b) for a in range(RECORDS) for b in range(RECORDS) if 0 < (a - b) % RECORDS <= PARTNERS]
    alone = figures_of([guesses[a] for a, _ in pairs], [truths[b] for _, b in pairs])
    assert null.tokens.high - null.tokens.low > 1.3 * (alone.tokens.high - alone.tokens.low)


def test_the_null_is_steady_in_nineteen_of_twenty_draws_of_records() -> None:
    passed = 0
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        rows = [torch.randint(12, (10,), generator=draw) for _ in range(RECORDS)]
        truths = [Truth(ids_N, torch.ones_like(ids_N, dtype=torch.bool), n) for n, ids_N in enumerate(rows)]
        passed += steady(result_of(truths, rows), seed=seed).passed
    assert passed >= 19


def test_the_best_answer_counts() -> None:
    truths = made_up(shared=0)
    right, wrong = [truth.ids_N.tolist() for truth in truths], [[-1]] * RECORDS
    answers = [Answer(attack=0, seed=s, outcome="ran", guesses=g) for s, g in enumerate((wrong, right, wrong))]
    assert scored(NearestEmbedding(), answers, truths, common=(), seed=0).result.figures == figures_of(
        [truth.ids_N for truth in truths], truths
    )


def test_an_attack_on_rows_of_which_no_token_counts_has_no_figure() -> None:
    truths = [Truth(truth.ids_N, torch.zeros_like(truth.scored_N), truth.record) for truth in made_up(shared=0)]
    found = result_of(truths, [truth.ids_N for truth in truths])
    assert (found.result.outcome, found.figures, "No token counts" in found.result.reason) == ("not_run", None, True)


def test_what_was_read_in_one_epoch_is_not_forgotten_in_the_others() -> None:
    once = made_up(shared=0)
    nothing, everything = [torch.full((1,), -1)] * RECORDS, [truth.ids_N for truth in once]
    last = [once[0]]  # a step that begins another epoch
    found = result_of([*once, *once, *last], [*nothing, *everything, *nothing[:1]])
    assert found.result.figures == figures_of(everything, once)
    assert steady(found, seed=0).passed


@pytest.mark.parametrize(("share", "passed"), [(1.0, True), (0.9, False)])
def test_an_unprotected_run_must_be_read(share: float, passed: bool) -> None:
    truths = made_up(shared=0, own=20)
    guesses = [truth.ids_N.where(torch.arange(20) < 20 * share, -1) for truth in truths]
    control = no_defence([result_of(truths, guesses)], LeakChannel.HIDDEN)
    assert (control.passed, control.channel) == (passed, LeakChannel.HIDDEN)
    assert not no_defence([result_of(truths, guesses)], LeakChannel.GRADIENT).passed, "none attacked it"
