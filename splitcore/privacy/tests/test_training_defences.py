"""What holds for every defence that acts through training: it composes, goes on after a kill, and is never released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import splitcore
from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.flows import anyone
from splitcore.flows.sentences import sentences_of
from splitcore.models.tests.tiny import rows
from splitcore.privacy.tests.training import Model, defended, goes_on
from splitcore.training.tests.test_parties import difference

DEFENCES: list[dict[str, Any]] = [
    {"name": "nopeek", "weight": 2.0},
    {"name": "adversarial", "weight": 0.5, "rank": 8},
    {"name": "token_mixup", "share": 0.5},
    {"name": "bottleneck", "weight": 0.5, "rank": 4},
]
each = pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence["name"])


@each
def test_a_run_trains_otherwise_with_it_and_releases_nothing_of_it(
    model: Model, tmp_path: Path, defence: dict[str, Any]
) -> None:
    for name, defences in (("plain", []), ("with", [defence])):
        splitcore.fine_tune(defended(model("llama"), *defences), {"a": rows(10)}, out=tmp_path / name)
    assert difference(tmp_path / "plain" / "adapter", tmp_path / "with" / "adapter") > 0.0
    plain, released = (
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("plain", "with")
    )
    assert released.keys() == plain.keys()


@each
def test_a_run_that_broke_off_goes_on_to_the_same_adapter(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defence: dict[str, Any]
) -> None:
    goes_on(defended(model("llama"), defence), tmp_path, monkeypatch)


@each
def test_it_goes_with_micro_batches_codecs_caches_several_parties_and_the_other_defences(
    model: Model, tmp_path: Path, defence: dict[str, Any]
) -> None:
    others = [one for one in DEFENCES if one is not defence]
    config = defended(
        model("gpt2"),
        defence,
        *others,
        "gaussian",
        training={"micro_batches": 2, "steps": 6},
        wire={"activations": "int8", "gradients": "int8", "changes": "int4"},
    )
    result = splitcore.fine_tune(config, {"a": rows(4), "b": rows(6)}, out=tmp_path, eval_rows=rows(3))
    assert [step for step, _ in result.eval_losses] == [0, 2, 4, 6]


@pytest.mark.parametrize("name", ["nopeek", "adversarial", "bottleneck"])
def test_what_trains_the_head_is_refused_where_the_head_is_not_trained(name: str) -> None:
    sections = {"lora": {"train_head": False}, "privacy": {"defences": [name]}}
    with pytest.raises(AppError, match=f"{name} acts by training the head"):
        RunConfig.parse({"model": {"name_or_path": "m"}, **sections})


def test_mixing_goes_with_rows_that_cross_once(model: Model, tmp_path: Path) -> None:
    sections = {"lora": {"train_head": False}, "wire": {"activations": "int8"}}
    training = {"cache_activations": True, "batch_size": 5}
    config = defended(model("llama"), "token_mixup", training=training, **sections)
    result = splitcore.fine_tune(config, {"a": rows(10)}, out=tmp_path)
    assert len(result.train_losses["a"]) == 4


@each
def test_a_contract_says_of_what_leaves_that_there_is_no_proof(defence: dict[str, Any]) -> None:
    config = RunConfig.parse({"model": {"name_or_path": "m"}, "privacy": {"defences": [defence]}})
    sentences = [one for one in sentences_of(config, anyone(1)) if "(no proof)" in one]
    assert len(sentences) == 1
