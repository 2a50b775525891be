"""A model of each party's own over one base, averaged in rounds; and several parties in one body batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import splitcore
from splitcore import RunConfig
from splitcore.control.events import Event, StepFinished
from splitcore.models.tests.tiny import rows
from splitcore.runtime import one_device
from splitcore.runtime.interface import MicroBatch
from splitcore.runtime.passes import BodyPass
from splitcore.schedules.splitfed_v1.config import SplitFedV1
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket"), "c": rows(6, word="a case")}
SPLITFED = {"mode": "splitfed_v1"}
ADAPTER = "adapter_model.safetensors"
SGD = {"optimiser": "sgd", "learning_rate": 0.1, "clip_norm": None}


def tuned(config: RunConfig, out: Path, **changes: Any) -> Path:
    """The adapter of a run over the three shards."""
    splitcore.fine_tune(config, SHARDS, out=out, **changes)
    return out / "adapter"


def test_one_local_step_a_round_with_sgd_equals_the_centralised_big_batch(model: Model, tmp_path: Path) -> None:
    training = {"steps": 3, "micro_batches": 2, **SGD}
    federated = run_config(model("llama"), training=training, schedule=SPLITFED, parties={"b": {"batch_size": 2}})
    parallel = run_config(model("llama"), training=training, parties={"b": {"batch_size": 2}})
    splitcore.fine_tune_unsplit(parallel, SHARDS, out=tmp_path / "unsplit")
    ours = tuned(federated, tmp_path / "federated")
    assert difference(ours, tmp_path / "unsplit" / "adapter") < 1e-6
    assert difference(ours, tuned(parallel, tmp_path / "parallel")) < 1e-6


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_a_round_equals_independent_unsplit_runs_whose_adapters_are_averaged(
    model: Model, tmp_path: Path, topology: str
) -> None:
    training = {"steps": 4, "micro_batches": 2}
    schedule = {**SPLITFED, "aggregate_every": 4}
    federated = run_config(model("llama"), training=training, schedule=schedule, split={"topology": topology})
    events: list[Event] = []
    ours = load_file(tuned(federated, tmp_path / "federated", on_event=events.append) / ADAPTER)
    steps = [event for event in events if isinstance(event, StepFinished)]
    tokens = {party: sum(step.tokens for step in steps if step.party == party) for party in SHARDS}
    mean = {name: torch.zeros_like(value) for name, value in ours.items()}
    for party, shard in SHARDS.items():
        splitcore.fine_tune_unsplit(run_config(model("llama"), training=training), {party: shard}, out=tmp_path / party)
        for name, value in load_file(tmp_path / party / "adapter" / ADAPTER).items():
            mean[name] += value * (tokens[party] / sum(tokens.values()))
    assert max(float((mean[name] - ours[name]).abs().max()) for name in ours) < 1e-6


@pytest.mark.parametrize(
    ("topology", "schedule", "same_sizes"),
    [
        ("u_shape", {"mode": "parallel"}, True),
        ("vanilla", {"mode": "personalised"}, False),
        ("u_shape", {**SPLITFED, "aggregate_every": 2}, False),
        ("vanilla", {**SPLITFED, "aggregate_every": 2}, True),
    ],
)
def test_micro_batches_computed_in_groups_give_the_ungrouped_run(
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    topology: str,
    schedule: dict[str, Any],
    same_sizes: bool,
) -> None:
    sizes: list[int] = []

    class Counted(BodyPass):
        def __init__(self, micro_batches: list[MicroBatch], **how: Any) -> None:
            sizes.append(len(micro_batches))
            super().__init__(micro_batches, **how)

    monkeypatch.setattr(one_device, "BodyPass", Counted)
    settings: dict[str, Any] = {
        "split": {"topology": topology},
        "training": {"steps": 3, "micro_batches": 2, "optimiser": "sgd", "learning_rate": 0.1},
        "parties": {} if same_sizes else {"b": {"batch_size": 2}},
    }
    config = {grouped: run_config(model("llama"), schedule={**schedule, "group_clients": grouped}, **settings)
              for grouped in (False, True)}  # fmt: skip
    alone = tuned(config[False], tmp_path / "alone")
    assert set(sizes) == {1}
    sizes.clear()
    grouped = tuned(config[True], tmp_path / "grouped")
    assert set(sizes) == {len(SHARDS)}
    assert difference(alone, grouped) < 1e-5


def test_splitfed_without_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="aggregate_every"):
        SplitFedV1(aggregate_every=0)


@pytest.mark.integration
@pytest.mark.parametrize("schedule", [{"mode": "parallel"}, {**SPLITFED, "aggregate_every": 2}])
def test_a_grouped_run_of_three_parties_over_processes_gives_the_same_bits_again(
    model: Model, tmp_path: Path, schedule: dict[str, Any]
) -> None:
    training = {"steps": 4, "micro_batches": 2}
    config = run_config(model("llama"), schedule={**schedule, "group_clients": True}, training=training)
    first = tuned(config, tmp_path / "one", transport="grpc")
    assert difference(first, tuned(config, tmp_path / "two", transport="grpc")) == 0.0
    assert difference(first, tuned(config, tmp_path / "memory")) == 0.0
