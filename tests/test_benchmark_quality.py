"""The federated baseline and the scores of the quality benchmark."""

from __future__ import annotations

from math import exp, sqrt
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from splitcore.adapters.segments import WEIGHTS
from splitcore.config import RunConfig
from splitcore.models.tests.tiny import rows, save_model
from splitcore.training.unsplit import UnsplitRun
from tests.benchmarks.cider import cider
from tests.benchmarks.e2e import Asked
from tests.benchmarks.fedavg import LOCAL_STEPS, FederatedRun, average, round_bytes, rounds
from tests.benchmarks.scoring import bleu, meteor, nist, rouge_l, scores, words


def test_adapters_are_averaged_exactly_by_their_weights() -> None:
    one, other = {"a": torch.tensor([1.0, -2.0]), "b": torch.tensor([[4.0]])}, {"a": torch.tensor([5.0, 2.0])}
    mean = average([one, {**other, "b": torch.tensor([[8.0]])}], [3.0, 1.0])
    assert torch.equal(mean["a"], torch.tensor([2.0, -1.0]))
    assert torch.equal(mean["b"], torch.tensor([[5.0]]))
    assert mean["a"].dtype == torch.float32
    assert torch.equal(average([one], [7.0])["a"], one["a"])


def test_a_round_ends_in_the_mean_of_what_each_client_trained_alone(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    training = {"steps": 2, "batch_size": 2, "learning_rate": 1e-2, "eval_every": 0, "max_length": 16}
    folder = save_model(tmp_path / "model", "llama")
    config = RunConfig.model_validate({"model": {"name_or_path": str(folder)}, "training": training})
    shards = {"one": rows(4, word="red"), "two": rows(4, word="blue")}
    FederatedRun(config, shards, tmp_path / "federated", []).run()
    alone = []
    for party, shard in shards.items():
        UnsplitRun(config, {party: shard}, tmp_path / party, []).run()
        alone.append(load_file(tmp_path / party / "adapter" / WEIGHTS))
    federated = load_file(tmp_path / "federated" / "adapter" / WEIGHTS)
    expected = average(alone, [1.0, 1.0])
    assert federated.keys() == expected.keys()
    assert all(torch.equal(federated[name], expected[name]) for name in federated)
    assert round_bytes(federated) == 2 * sum(tensor.nbytes for tensor in federated.values())


def test_rounds_cover_every_step_once() -> None:
    steps = 2 * LOCAL_STEPS + 3
    assert [step for steps_of_one in rounds(steps) for step in steps_of_one] == list(range(steps))


def test_a_text_is_scored_against_the_reference_that_fits_best() -> None:
    asked = [
        Asked("x", ("The Wrestlers is a cheap pub .", "A pub that is cheap .")),
        Asked("y", ("Near the river stands Cotto .",)),
    ]
    perfect = ["A pub that is cheap .", "Near the river stands Cotto ."]
    assert bleu(perfect, asked) == pytest.approx(100.0)
    assert rouge_l(perfect, asked) == pytest.approx(100.0)
    assert bleu(["something else entirely now", "no word in common at all"], asked) < 5


def test_cider_is_what_its_formula_gives_by_hand() -> None:
    references = [[["a", "b"], ["d"]], [["a", "c"]]]
    # of two prompts: ln 2 is the rarity of every n-gram but "a", which is in both and has 0
    same = (1 + 1 + 0 + 0) / 4  # "a b" beside "a b": n of 1 and 2 agree, there are no longer ones; beside "d": nothing
    longer = exp(-1 / 72) * (1 / 2 + 1 / sqrt(2) + 0 + 0) / 4  # one word too many, of which one counts and one does not
    assert cider([["a", "b"], ["a", "c", "c"]], references) == pytest.approx(10 * (same / 2 + longer) / 2)
    assert cider([["e"], ["f"]], references) == 0


def test_nist_counts_the_information_of_what_agrees() -> None:
    # each word is one of two, which is 1 bit; "b" after "a" is certain and tells nothing
    assert nist([["a", "b"]], [[["a", "b"]]]) == pytest.approx(1.0)
    assert nist([[]], [[["a", "b"]]]) == 0


def test_meteor_takes_the_same_stem_and_no_synonym() -> None:
    in_one_chunk = 1 - 0.5 * (1 / 3) ** 3
    assert meteor([["the", "cats", "sat"]], [[["a", "dog"], ["the", "cat", "sat"]]]) == pytest.approx(
        100 * in_one_chunk
    )
    assert meteor([["inexpensive"]], [[["cheap"]]]) == 0


def test_every_score_is_better_for_the_better_text() -> None:
    asked = [
        Asked("x", ("The Wrestlers is a cheap pub near the river.", "A pub that is cheap.")),
        Asked("y", ("Cotto serves Italian food in the city centre.",)),
    ]
    good = scores(["The Wrestlers is a cheap pub near the river.", "Cotto serves Italian food."], asked)
    poor = scores(["The river is near.", "Cotto has a low rating."], asked)
    assert all(good[name] > poor[name] for name in ("bleu", "nist", "meteor", "rouge_l", "cider"))
    assert words("Cotto's menu: fine.") == ["cotto's", "menu", ":", "fine", "."]
