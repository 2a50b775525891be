"""What is counted as read."""

from __future__ import annotations

from random import Random

import pytest
import torch

from splitcore.attacks.figures import Figures, Truth, common_length, figures_of, rouge_l


def truth(ids: list[int], record: int, *, counted: list[bool] | None = None) -> Truth:
    scored = [True] * len(ids) if counted is None else counted
    return Truth(torch.tensor(ids), torch.tensor(scored), record)


def scored(guesses: list[list[int]], truths: list[Truth], **how: set[int]) -> Figures:
    return figures_of([torch.tensor(one) for one in guesses], truths, **how)


def test_tokens_count_at_their_place_and_records_are_drawn_as_a_whole() -> None:
    truths = [truth([5, 6, 0], 0, counted=[True, True, False]), truth([7, 8, 0], 1, counted=[True, True, False])]
    figures = scored([[5, 6, 9], [8, 7, 0]], truths)
    assert (figures.tokens.value, figures.records, figures.counted) == (0.5, 2, 4)
    assert (figures.tokens.low, figures.tokens.high) == (0.0, 1.0)
    assert (figures.exact, figures.worst) == (0.5, None), "two records have no 1 %"


def test_the_crossings_of_one_record_are_one_record() -> None:
    figures = scored([[1, 2], [1, 9]], [truth([1, 2], 4), truth([1, 2], 4)])
    assert (figures.records, figures.counted, figures.tokens.value, figures.exact) == (1, 4, 0.75, 0.0)


def test_a_row_of_which_nothing_counts_changes_no_figure() -> None:
    attacked = [truth([1, 2, 3], 0)]
    known = truth([7, 8], 1, counted=[False, False])
    assert scored([[1, 2, 3], [7, 8]], [*attacked, known]) == scored([[1, 2, 3]], attacked)


def test_rare_tokens_have_a_figure_of_their_own_where_there_are_any() -> None:
    figures = scored([[1, 2, 8]], [truth([1, 2, 3], 0)], common={1, 2})
    assert figures.rare is not None
    assert figures.rare.value == 0.0
    assert scored([[1, 2]], [truth([1, 2], 0)], common={1, 2}).rare is None
    assert scored([[1, 2]], [truth([1, 2], 0)]).rare is None, "without other text none is known to be rare"


def test_a_guess_of_another_length_is_wrong_where_it_has_nothing() -> None:
    assert scored([[1]], [truth([1, 2, 3, 4], 0)]).tokens.value == 0.25
    assert scored([[1, 2, 3]], [truth([1], 0)]).tokens.value == 1.0


def test_the_one_percent_that_was_read_best_is_not_the_mean() -> None:
    truths = [truth([1, 2], record) for record in range(200)]
    figures = scored([[1, 2], [1, 2], *[[1, 0]] * 198], truths)
    assert figures.worst == 1.0
    assert figures.tokens.value == pytest.approx(0.505)


def test_an_order_that_is_right_counts_in_rouge_even_at_another_place() -> None:
    assert rouge_l([9, 1, 2, 3], [1, 2, 3]) == pytest.approx(6 / 7)
    assert rouge_l([], [1]) == 0.0
    assert rouge_l([1, 2, 3], [1, 2, 3]) == 1.0


def test_the_longest_common_subsequence_is_the_one_of_the_plain_table() -> None:
    draw = Random(5)
    for _ in range(200):
        one, other = ([draw.randrange(4) for _ in range(draw.randrange(90))] for _ in range(2))
        row = [0] * (len(other) + 1)
        for token in one:
            above, row = row, [0]
            for place, match in enumerate(other):
                row.append(above[place] + 1 if token == match else max(above[place + 1], row[-1]))
        assert common_length(one, other) == row[-1]


def test_without_a_token_to_guess_there_is_no_figure() -> None:
    with pytest.raises(ValueError, match="no token"):
        scored([[1]], [truth([1], 0, counted=[False])])
