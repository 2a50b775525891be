"""Exact match and token loss, checked against plain arithmetic on tiny models."""

from __future__ import annotations

import pytest
import torch

from splitcore.config import DataSection
from splitcore.data.rows import RowError
from splitcore.evaluate.exact_match import evaluate_rows
from splitcore.evaluate.generate import sample
from splitcore.evaluate.tests.conftest import make_tokenizer


def test_a_learnt_row_matches_and_an_unlearnt_one_does_not(model):
    rows = [{"prompt": "red is", "completion": " blue green "}, {"prompt": "red is", "completion": "green"}]
    result = evaluate_rows(model, make_tokenizer(), rows, max_length=16, max_new_tokens=4)
    assert result.exact_match == 0.5
    assert result.rows == 2
    assert [s.correct for s in result.samples] == [True, False]
    assert result.samples[0].generated == "blue green"


def test_loss_is_the_mean_over_completion_and_end_tokens_only(model):
    rows = [{"prompt": "red is", "completion": "blue green"}, {"prompt": "green was red", "completion": "red"}]
    result = evaluate_rows(model, make_tokenizer(), rows, max_length=16, max_new_tokens=2)
    by_hand = []
    for ids, start in (([1, 3, 6, 4, 5, 2], 3), ([1, 5, 7, 3, 3, 2], 4)):
        scores = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        by_hand += [-scores[place - 1, ids[place]].item() for place in range(start, len(ids))]
    assert result.tokens == len(by_hand) == 5
    assert result.loss == pytest.approx(sum(by_hand) / len(by_hand), abs=1e-5)


def test_the_batch_size_does_not_change_the_result(model):
    rows = [{"prompt": " ".join(["red"] * n), "completion": "is blue"} for n in range(1, 6)]
    one, many = (
        evaluate_rows(model, make_tokenizer(), rows, max_length=16, max_new_tokens=3, batch_size=size)
        for size in (1, 5)
    )
    assert one.loss == pytest.approx(many.loss, abs=1e-5)
    assert [s.generated for s in one.samples] == [s.generated for s in many.samples]


def test_left_padding_does_not_change_a_completion(model):
    tokenizer = make_tokenizer()
    alone = sample(model, tokenizer, ["red is"], 4)
    together = sample(model, tokenizer, ["green was red was green", "red is"], 4)
    assert together[1] == alone[0] == "blue green"


def test_a_tokenizer_without_a_first_token_works_too(model):
    rows = [{"prompt": "red is", "completion": "blue green"}]
    assert evaluate_rows(model, make_tokenizer(with_bos=False), rows, max_length=16, max_new_tokens=3).tokens == 3


def test_plain_text_has_a_loss_but_no_exact_match(model):
    result = evaluate_rows(model, make_tokenizer(), [{"text": "red is blue"}], max_length=16, max_new_tokens=3)
    assert result.exact_match is None
    assert result.tokens == 4


def test_a_loss_on_all_tokens_still_asks_with_the_prompt_alone(model):
    rows = [{"prompt": "red is", "completion": "blue green"}]
    data = DataSection(loss_on="all")
    result = evaluate_rows(model, make_tokenizer(), rows, max_length=16, max_new_tokens=4, data=data)
    assert (result.exact_match, result.tokens) == (1.0, 5)


def test_a_training_model_is_handed_back_in_training_mode(model):
    model.train()
    evaluate_rows(model, make_tokenizer(), [{"prompt": "red", "completion": "is"}], max_length=9, max_new_tokens=2)
    assert model.training


def test_no_rows_and_a_row_without_room_for_an_answer_are_errors(model):
    with pytest.raises(ValueError, match="no rows"):
        evaluate_rows(model, make_tokenizer(), [], max_length=16, max_new_tokens=2)
    row = {"prompt": "red is red is", "completion": "blue"}
    with pytest.raises(RowError) as refused:
        evaluate_rows(model, make_tokenizer(), [row], max_length=3, max_new_tokens=2)
    assert refused.value.code == "CL-1203"
