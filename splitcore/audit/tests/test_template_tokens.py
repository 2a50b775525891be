"""Which tokens a chat template puts into a row, and that none of them counts as read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from splitcore.attacks.choice import LeakChannel
from splitcore.attacks.reading import TranscriptReader
from splitcore.audit.capture import PARTY, capture, plan_of
from splitcore.audit.scoring import truths_of
from splitcore.audit.template_tokens import template_places
from splitcore.config import DataSection
from splitcore.data.rows import check_row
from splitcore.data.tokenise import encode_row
from splitcore.models.tests.tiny import save_model
from splitcore.training.tests.conftest import run_config

PLAIN = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
STRIPS = PLAIN.replace("m.content", "m.content | trim")
CHAT = DataSection(template="chat")
ROW = {"prompt": " user a ", "completion": "assistant"}


def tokenizer_with(folder: Path, template: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = template
    return tokenizer


def own_text(tokenizer: Any, row: dict[str, Any], data: DataSection = CHAT) -> tuple[str, Sequence[bool]]:
    """The text of the tokens that aren't the template's."""
    ids = encode_row(check_row(row), tokenizer, data, 64).ids
    places = template_places(row, tokenizer, data, ids)
    return tokenizer.decode([token for token, is_template in zip(ids, places, strict=True) if not is_template]), places


@pytest.mark.parametrize(
    ("template", "row", "text"),
    [
        (PLAIN, ROW, " user a assistant"),
        (STRIPS, ROW, "user aassistant"),
        (
            PLAIN,
            {"messages": [{"role": "user", "content": "user"}, {"role": "assistant", "content": "a|>"}]},
            "usera|>",
        ),
    ],
)
def test_what_is_left_is_what_people_wrote_even_where_it_reads_like_the_template(
    model: Callable[[str], Path], template: str, row: dict[str, Any], text: str
) -> None:
    assert own_text(tokenizer_with(model("llama"), template), row)[0] == text


def test_without_a_chat_template_every_token_is_the_row_s(model: Callable[[str], Path]) -> None:
    tokenizer = tokenizer_with(model("llama"), PLAIN)
    assert not any(own_text(tokenizer, ROW, DataSection())[1])
    ids = encode_row(check_row(ROW), tokenizer, CHAT, 64).ids
    assert not any(template_places(ROW, tokenizer, CHAT, [*ids[:-1], 5])), "other ids can't be parted"


def test_no_token_of_the_template_counts(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "llama")
    tokenizer_with(folder, PLAIN).save_pretrained(folder)
    rows = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(4)]
    config = run_config(folder, data={"template": "chat"}, training={"max_length": 64})
    taken = capture(config, rows, tmp_path / "taken", epochs=1)
    transcript = TranscriptReader(plan_of(taken.config), PARTY).read(taken.recording)
    for channel, text in ((LeakChannel.HIDDEN, "q{0}a{0}"), (LeakChannel.OUTPUT, "a{0}")):
        truths = truths_of(taken, transcript, channel)
        shown = {truth.record: tokenizer_with(folder, PLAIN).decode(truth.ids_N[truth.scored_N]) for truth in truths}
        assert shown == {number: text.format(number) for number in range(4)}
        assert all(torch.equal(truth.ids_N, one.ids_N) for truth in truths for one in taken.rows.values()
                   if one.number == truth.record)  # fmt: skip
