"""SplitFed V3: what it has in common with an unsplit run of each party, and what is averaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import splitcore
from splitcore.control.events import SERVER, CheckpointChanged, Event, StepFinished
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket")}
ADAPTER = "adapter_model.safetensors"
ROUND = {"name": "splitfed_v3", "aggregate_every": 4}


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_a_round_keeps_each_partys_ends_and_averages_the_bodies_of_independent_unsplit_runs(
    model: Model, tmp_path: Path, topology: str
) -> None:
    training = {"steps": 4, "micro_batches": 2}
    config = run_config(model("llama"), training=training, schedule=ROUND, split={"topology": topology})
    events: list[Event] = []
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "run", on_event=events.append)
    tokens = {
        party: sum(e.tokens for e in events if isinstance(e, StepFinished) and e.party == party) for party in SHARDS
    }
    alone: dict[str, dict[str, Any]] = {}
    for party, shard in SHARDS.items():
        own = run_config(model("llama"), training=training)
        splitcore.fine_tune_unsplit(own, {party: shard}, out=tmp_path / party)
        alone[party] = load_file(tmp_path / party / "adapter" / ADAPTER)
    for party in SHARDS:
        ours = load_file(tmp_path / "run" / "adapters" / party / ADAPTER)
        assert ours.keys() == alone[party].keys()
        layers = {int(part) for name in ours for part in name.split(".") if part.isdigit()}
        body = {layer for layer in layers if 1 <= layer < len(layers) - (2 if topology == "u_shape" else 0)}
        averaged = [name for name in ours if any(part.isdigit() and int(part) in body for part in name.split("."))]
        assert 0 < len(averaged) < len(ours)
        for name in ours.keys() - {*averaged}:
            assert torch.equal(ours[name], alone[party][name])
        for name in averaged:
            mean = sum(alone[one][name] * (tokens[one] / sum(tokens.values())) for one in SHARDS)
            assert torch.allclose(ours[name], mean, atol=1e-7)


def test_a_run_that_broke_off_within_a_round_resumes_to_the_very_same_adapters(model: Model, tmp_path: Path) -> None:
    training = {"steps": 6, "checkpoint_every": 1, "eval_every": 0}
    config = run_config(model("llama"), training=training, schedule=ROUND)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "whole")

    class InterruptionError(Exception):
        """The listener's end."""

    def interrupt(event: Event) -> None:
        if isinstance(event, CheckpointChanged) and (event.party, event.step, event.action) == (SERVER, 3, "saved"):
            raise InterruptionError

    with pytest.raises(InterruptionError):
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "broken", on_event=interrupt)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "broken", resume=True)
    for party in SHARDS:
        whole, resumed = (tmp_path / name / "adapters" / party for name in ("whole", "broken"))
        assert difference(whole, resumed) == 0.0
