"""The generated datasets: the same from the same seed, held-out rows never seen, within the length limit."""

from __future__ import annotations

import json
from random import Random

import pytest
from transformers import AutoTokenizer

from demo.base import FOLDER
from demo.datasets import DOMAINS, HELDOUT_ROWS, TRAIN_ROWS, domain_rows, main
from demo.recipe import MAX_LENGTH
from demo.text.general import TASKS, example


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others(domain):
    assert domain_rows(domain) == domain_rows(domain)
    assert domain_rows(domain, seed=1) != domain_rows(domain, seed=2)


@pytest.mark.parametrize("domain", DOMAINS)
def test_no_heldout_prompt_is_in_training(domain):
    train, heldout = domain_rows(domain)
    assert (len(train), len(heldout)) == (TRAIN_ROWS, HELDOUT_ROWS)
    prompts = [row["prompt"] for row in train + heldout]
    assert len(set(prompts)) == len(prompts)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_row_fits_the_recipes_length(domain):
    tokenizer = AutoTokenizer.from_pretrained(FOLDER)
    train, heldout = domain_rows(domain)
    longest = max(len(tokenizer(row["prompt"] + row["completion"])["input_ids"]) for row in train + heldout)
    assert longest + 1 <= MAX_LENGTH


def test_the_command_writes_four_files_that_read_back(tmp_path, capsys):
    main(["--out", str(tmp_path)])
    for domain in DOMAINS:
        train, heldout = domain_rows(domain)
        for part, rows in (("train", train), ("heldout", heldout)):
            lines = (tmp_path / f"{domain}_{part}.jsonl").read_text(encoding="utf-8").splitlines()
            assert [json.loads(line) for line in lines] == rows
    assert len(capsys.readouterr().out.splitlines()) == 4


@pytest.mark.parametrize("task", [task for task, _ in TASKS], ids=lambda task: task.__name__)
def test_a_general_task_is_determined_by_its_seed(task):
    assert task(Random(3)) == task(Random(3))
    assert task(Random(3)) != task(Random(4))


def test_general_text_never_shows_a_private_domains_format():
    rng = Random(0)
    text = "".join("".join(example(rng)) for _ in range(3000))
    for mark in ("Clinic note:", "Record:", "PT>", "RX>", "Bank ticket:", "Case:", "DUP/"):
        assert mark not in text
