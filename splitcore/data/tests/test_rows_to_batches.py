"""Rows, templates, sampling, batches."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from splitcore.config import DataSection
from splitcore.data.batches import collate
from splitcore.data.rows import RowError, check_row
from splitcore.data.sampling import Sampler, cut, hold_out
from splitcore.data.scores import Scores
from splitcore.data.tokenise import IGNORED, encode_row, encode_rows
from splitcore.errors import AppError
from splitcore.models.tests.tiny import save_tokenizer

PLAIN = DataSection()


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder: Path = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"prompt": "a", "completion": "  "}, "CL-1202"),
        ({"text": ""}, "CL-1202"),
        ({"messages": [{"role": "user", "content": "a"}]}, "CL-1202"),
        ({"prompt": "a"}, "CL-1201"),
        ({"prompt": 3, "completion": "b"}, "CL-1201"),
        ({"prompt": "a", "completion": "\ud800"}, "CL-1201"),
        ({"messages": "a"}, "CL-1201"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "CL-1201"),
        ({"answer": "b"}, "CL-1201"),
    ],
)
def test_a_bad_row_is_an_error_without_its_content(row: dict[str, Any], code: str) -> None:
    with pytest.raises(RowError) as caught:
        check_row(row)
    assert caught.value.code == code


def test_columns_may_have_other_names() -> None:
    row = check_row({"question": "a", "answer": "b"}, {"prompt": "question", "completion": "answer"})
    assert (row.prompt, row.completion) == ("a", "b")


def test_the_loss_counts_the_completion_and_the_end(tokenizer: Any) -> None:
    encoded = encode_row(check_row({"prompt": "ab", "completion": "cd"}), tokenizer, PLAIN, 64)
    assert encoded.labels == (IGNORED, IGNORED, *encoded.ids[2:])
    assert encoded.ids[-1] == tokenizer.eos_token_id
    assert encoded.targets == 3


def test_the_loss_counts_everything_where_asked_and_for_plain_text(tokenizer: Any) -> None:
    everything = encode_row(check_row({"prompt": "ab", "completion": "cd"}), tokenizer, DataSection(loss_on="all"), 64)
    text = encode_row(check_row({"text": "abcd"}), tokenizer, PLAIN, 64)
    assert everything == text
    assert text.targets == 4


def test_a_long_row_is_cut_and_one_without_a_target_left_is_an_error(tokenizer: Any) -> None:
    assert len(encode_row(check_row({"prompt": "ab", "completion": "c" * 50}), tokenizer, PLAIN, 8).ids) == 8
    with pytest.raises(RowError) as caught:
        encode_row(check_row({"prompt": "secret" * 9, "completion": "c"}), tokenizer, PLAIN, 8)
    assert caught.value.code == "CL-1203"
    assert "secret" not in str(caught.value)


def test_rows_without_a_target_left_are_left_out_and_a_bad_one_is_named_by_its_number(tokenizer: Any) -> None:
    long, short = {"prompt": "secret" * 9, "completion": "c"}, {"text": "ok"}
    assert encode_rows([short, long, short], tokenizer, PLAIN, 8) == encode_rows([short] * 2, tokenizer, PLAIN, 8)
    with pytest.raises(RowError) as caught:
        encode_rows([short, long, {"prompt": "secret", "completion": " "}], tokenizer, PLAIN, 8)
    assert (caught.value.code, caught.value.details["row"]) == ("CL-1202", 3)
    assert "secret" not in str(caught.value)


def test_chat_needs_a_template_and_learns_the_last_answer(tokenizer: Any) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]
    row = check_row({"messages": messages})
    with pytest.raises(AppError) as caught:
        encode_row(row, tokenizer, DataSection(template="chat"), 64)
    assert caught.value.code == "CL-1204"
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
    )
    encoded = encode_row(row, tokenizer, DataSection(template="chat"), 64)
    tokenizer.chat_template = None
    assert tokenizer.decode([label for label in encoded.labels if label != IGNORED]) == "yo;"


def test_the_sampler_depends_on_seed_and_party_alone_and_can_be_entered_anywhere() -> None:
    first = Sampler(7, 3, seed=1, party="a", shuffle=True)
    whole = [first.batch(step) for step in range(14)]
    assert Sampler(7, 3, seed=1, party="a", shuffle=True).batch(9) == whole[9]
    assert Sampler(7, 3, seed=1, party="b", shuffle=True).batch(0) != whole[0]
    assert sorted(row for batch in whole for row in batch) == sorted(list(range(7)) * 6)
    assert Sampler(4, 3, seed=1, party="a", shuffle=False).batch(1) == [3, 0, 1]


def test_held_out_rows_are_neither_all_nor_trained_on() -> None:
    train, held = hold_out(list(range(20)), 0.1)
    assert (len(train), len(held)) == (18, 2)
    assert sorted(train + held) == list(range(20))
    assert hold_out([1], 0.5) == ([1], [])


def test_a_smaller_part_that_is_held_out_is_within_a_larger_one_in_whatever_order_the_rows_come() -> None:
    rows = [{"text": f"row {number}"} for number in range(200)]
    parts = [{row["text"] for row in hold_out(rows, fraction)[1]} for fraction in (0.01, 0.05, 0.1, 0.25, 0.5)]
    assert [len(part) for part in parts] == [2, 10, 20, 50, 100]
    assert all(small < large for small, large in pairwise(parts))
    assert {row["text"] for row in hold_out(rows[::-1], 0.1)[1]} == parts[2]
    assert parts[2] != {row["text"] for row in rows[:20]}


def test_micro_batches_are_padded_on_the_right(tokenizer: Any) -> None:
    encoded = encode_rows([{"text": "a"}, {"text": "abc"}], tokenizer, PLAIN, 64)
    batch = collate(encoded, padding=0)
    assert batch.mask_BL.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch.labels_BL[0, 2:].tolist() == [IGNORED, IGNORED]
    assert batch.targets == 4
    assert cut([1, 2, 3, 4], 2) == [[1, 2], [3, 4]]


LABELLED = DataSection.model_validate({"task": {"name": "sequence", "labels": ["cold", "hot"]}})


def test_a_labelled_text_is_taken_as_the_tokenizer_gives_it_with_its_label_at_the_last_token(tokenizer: Any) -> None:
    encoded = encode_row(check_row({"text": "abc", "label": "hot"}), tokenizer, LABELLED, 64)
    assert encoded.ids == tuple(tokenizer("abc").input_ids)
    assert encoded.labels == (IGNORED, IGNORED, 1)
    assert (
        encoded.targets,
        encode_row(check_row({"text": "a", "label": "cold"}), tokenizer, LABELLED, 64).targets,
    ) == (
        1,
        1,
    )


def test_a_long_labelled_text_is_cut_off_and_told_from_the_last_token_that_is_left(tokenizer: Any) -> None:
    encoded = encode_row(check_row({"text": "abcdef", "label": "cold"}), tokenizer, LABELLED, 4)
    assert encoded.labels == (IGNORED, IGNORED, IGNORED, 0)


def test_a_label_is_told_from_the_last_token_that_is_not_padding_as_the_library_does(tokenizer: Any) -> None:
    encoded = encode_row(check_row({"text": "ab<pad>", "label": "cold"}), tokenizer, LABELLED, 64)
    assert encoded.labels == (IGNORED, 0, IGNORED)


def test_a_batch_of_labelled_texts_counts_its_rows(tokenizer: Any) -> None:
    rows = encode_rows([{"text": text, "label": "hot"} for text in ("a", "abc")], tokenizer, LABELLED, 64)
    batch = collate(rows, padding=0)
    assert (batch.targets, batch.seen, batch.is_class) == (2, 4, True)


def test_a_label_column_changes_nothing_where_the_task_is_to_go_on_with_texts(tokenizer: Any) -> None:
    plain = encode_row(check_row({"text": "ab"}), tokenizer, PLAIN, 64)
    assert encode_row(check_row({"text": "ab", "label": "hot"}), tokenizer, PLAIN, 64) == plain


@pytest.mark.parametrize(
    ("told", "accuracy", "macro_f1"),
    [
        ([(0, 0), (1, 1)], 1.0, 1.0),
        # label 0: precision 2/3, recall 1; label 1: precision and recall 1/2; label 2 occurs and is never told
        ([(0, 0), (0, 0), (1, 1), (1, 0), (2, 1)], 3 / 5, (0.8 + 0.5 + 0.0) / 3),
        # label 1 never occurs, and is told once
        ([(0, 0), (0, 1)], 0.5, (2 / 3 + 0.0) / 2),
    ],
)
def test_scores_are_those_computed_by_hand(told: list[tuple[int, int]], accuracy: float, macro_f1: float) -> None:
    scores = Scores.of(told)
    assert scores.accuracy == pytest.approx(accuracy)
    assert scores.macro_f1 == pytest.approx(macro_f1)
