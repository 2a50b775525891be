"""Exact answers are counted as if every one had been generated to its end, with less generated."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from splitcore.config import DataSection
from splitcore.data.rows import Row
from splitcore.data.tokenise import encode_row
from splitcore.evaluate import answers
from splitcore.evaluate.answers import Question, count_exact
from splitcore.evaluate.generate import generate_batch
from splitcore.evaluate.tests.conftest import make_tokenizer

Asked = list[tuple[Question, list[int]]]


def ask(model: LlamaForCausalLM, rows: list[tuple[str, str]], *, max_length: int = 16) -> Asked:
    asked: Asked = []
    for prompt, completion in rows:
        encoded = encode_row(Row(prompt, completion), make_tokenizer(), DataSection(), max_length)
        with torch.inference_mode():
            logits_1LV = model(input_ids=torch.tensor([encoded.ids])).logits
        asked.append((Question.of(encoded, completion), logits_1LV.argmax(-1)[0].tolist()))
    return asked


def count(model: LlamaForCausalLM, asked: Asked) -> int:
    return count_exact(model, make_tokenizer(), asked, batch_size=3, most_tokens=8)


@pytest.fixture
def generated(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of every batch that was generated."""
    texts: list[list[str]] = []

    def spy(*arguments: Any, **named: Any) -> list[str]:
        texts.append(generate_batch(*arguments, **named))
        return texts[-1]

    monkeypatch.setattr(answers, "generate_batch", spy)
    return texts


def test_an_answer_that_one_pass_tells_is_not_generated(model: LlamaForCausalLM, generated: list[list[str]]) -> None:
    assert count(model, ask(model, [("red is", " blue green ")])) == 1
    assert generated == []


def test_an_answer_is_generated_until_it_differs(model: LlamaForCausalLM, generated: list[list[str]]) -> None:
    model.generation_config.suppress_tokens = [2]  # without an end it would go on to the last token allowed
    try:
        assert count(model, ask(model, [("red is", "green was green was green was green")])) == 0
    finally:
        model.generation_config.suppress_tokens = None
    assert len(generated[0][0].split()) <= 4


def test_what_is_counted_is_what_generating_to_the_end_gives(model: LlamaForCausalLM) -> None:
    words = ("red", "blue", "green", "is", "was")
    rows = [(f"{one} is", f"{two} {three}") for one in words for two in words for three in words]
    prompts = [question.prompt for question, _ in ask(model, rows)]
    texts = generate_batch(model, make_tokenizer(), prompts, 8)
    by_hand = sum(text.strip() == completion for text, (_, completion) in zip(texts, rows, strict=True))
    assert count(model, ask(model, rows)) == by_hand > 0


def test_an_answer_that_was_cut_off_is_generated_all_the_same(
    model: LlamaForCausalLM, generated: list[list[str]]
) -> None:
    assert count(model, ask(model, [("red is", "blue green")], max_length=5)) == 1
    assert generated == [["blue green"]]


@pytest.mark.parametrize(
    ("beginning", "missed"),
    [("", False), ("name: Bob", False), (" name: Ann, age: \ufffd", False), ("name: Bob, age: 4", True)],
)
def test_a_text_is_missed_once_its_settled_part_differs(beginning: str, missed: bool) -> None:
    assert Question([], [], "name: Ann, age: 40").is_missed_by(beginning) is missed
