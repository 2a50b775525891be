"""The committed base model: small, stock, and a reliable copier of what it has never seen."""

from __future__ import annotations

from random import Random

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from demo.base import FOLDER
from demo.datasets import DOMAINS, domain_rows
from demo.text.general import copy_items, extract
from splitcore.evaluate.exact_match import evaluate_rows

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(FOLDER, dtype="float32").eval()


def exact_match(model, tokenizer, rows) -> float:
    return evaluate_rows(model, tokenizer, rows, max_length=128, max_new_tokens=64, batch_size=24).exact_match


def general_rows(task, count: int) -> list[dict[str, str]]:
    rng = Random(f"test of {task.__name__}")
    return [dict(zip(("prompt", "completion"), task(rng), strict=True)) for _ in range(count)]


def test_the_model_stays_within_its_limits(model):
    assert model.num_parameters() <= 5_000_000
    assert (FOLDER / "model.safetensors").stat().st_size <= 10 * MEGABYTE
    assert model.config.num_hidden_layers >= 8
    assert model.config.dtype is not None


def test_the_folder_holds_no_code_and_no_pickle():
    names = {path.name for path in FOLDER.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".py", ".bin", ".pt", ".pkl"))]


def test_the_tokenizer_starts_rows_and_gives_back_every_text(tokenizer):
    text = "Zoë owes 12.05 € to Brúna\n— café №7"
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.tokenize("1905") == ["1", "9", "0", "5"]
    assert tokenizer.eos_token_id is not None
    assert tokenizer.pad_token_id is not None


def test_it_copies_names_and_numbers_that_it_has_never_seen(model, tokenizer):
    assert exact_match(model, tokenizer, general_rows(copy_items, 24)) >= 0.95


def test_it_extracts_facts_from_sentences(model, tokenizer):
    assert exact_match(model, tokenizer, general_rows(extract, 24)) >= 0.8


@pytest.mark.parametrize("domain", DOMAINS)
def test_it_cannot_answer_a_private_domain(model, tokenizer, domain):
    _, heldout = domain_rows(domain)
    assert exact_match(model, tokenizer, heldout[:24]) == 0.0
