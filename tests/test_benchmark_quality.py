"""The federated baseline and the scores of the quality benchmark."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from splitcore.adapters.segments import WEIGHTS
from splitcore.config import RunConfig
from splitcore.models.tests.tiny import rows, save_model
from splitcore.training.unsplit import UnsplitRun
from tests.benchmarks.e2e import Asked
from tests.benchmarks.fedavg import LOCAL_STEPS, FederatedRun, average, round_bytes, rounds
from tests.benchmarks.scoring import bleu, rouge_l


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
