"""SIGKILL of either half, or both, at every stage of a step: the final adapter has the bytes of the undisturbed run.

Real processes over gRPC. Step 3 (from 0) is where they die; every half has a checkpoint of step 2, some of step 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from safetensors.torch import load

from splitcore.config import RunConfig
from splitcore.control.events import CheckpointChanged, Event
from splitcore.errors import AppError
from splitcore.launch.processes import run_in_processes
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfSettings
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
Adapters = dict[str, bytes]

CLIENT = [
    "head_forward@3",
    "send:activations:head_up@3",
    "tail@3",
    "send:gradients:tail_up@3",
    "head_backward@3",
    "send:norms@3",
    "before_step@3",
    "after_step@3",
    "checkpoint_write@4",
    "evaluate@4",
]
SERVER = [
    "body_forward@3",
    "send:activations:body_down@3",
    "body_backward@3",
    "send:gradients:body_grad_down@3",
    "send:aggregate@3",
    "before_step@3",
    "after_step@3",
    "checkpoint_write@4",
    "evaluate@4",
]
CASES: list[dict[str, str]] = [
    *({"a": place} for place in CLIENT),
    *({"server": place} for place in SERVER),
    {"a": "tail@3", "server": "send:gradients:body_grad_down@3"},
    {"a": "checkpoint_write@4", "server": "checkpoint_write@4"},
]
AVERAGING = [{"b": "send:adapter_weights@3"}, {"server": "send:adapter_weights@4"}]


def config_of(folder: Path, **changes: object) -> RunConfig:
    """Everything that could go astray is on: dropout, chance in rounding, caches, moments, a schedule of the rate."""
    return run_config(
        folder,
        lora={"dropout": 0.1},
        training={"steps": 5, "micro_batches": 2, "eval_every": 2, "checkpoint_every": 2, "schedule": "cosine"},
        wire={"activations": "int8", "changes": "int4", "gradients": "int8", "gradient_rounding": "stochastic"},
        **changes,
    )


def train(
    config: RunConfig,
    out: Path,
    *,
    parties: int = 1,
    restarts: int = 0,
    drills: Sequence[Mapping[str, str]] = (),
    events: list[Event] | None = None,
) -> Adapters:
    """A run in processes; the bytes of every segment."""
    names = ["a", "b"][:parties]
    settings = HalfSettings(
        config=config,
        parties=names,
        model_source=config.model.name_or_path,
        out=out / "halves",
        checkpoints=out / "checkpoints",
        emit=(events if events is not None else []).append,
    )
    shards, held_out = {name: rows(10) for name in names}, {"a": rows(2)}
    results = run_in_processes(settings, shards, held_out, (), restarts=restarts, drills=drills)
    assert {result.step for result in results.values()} == {config.training.steps}
    return {
        f"{name}/{segment.name}": (segment / "adapter_model.safetensors").read_bytes()
        for name, result in results.items()
        for segment in result.segments
    }


@pytest.fixture(scope="module")
def undisturbed(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Adapters:
    """The adapter of a run in which nothing happens."""
    return train(config_of(model("llama")), tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.promise(23, figure="never a mixed pair")
@pytest.mark.promise(22, figure="0.38 s for both")
@pytest.mark.promise(21, figure="difference 0.0; 0.33 s to go on")
@pytest.mark.parametrize("drills", CASES, ids=lambda drills: "+".join(f"{who}:{at}" for who, at in drills.items()))
def test_a_kill_changes_nothing(model: Model, undisturbed: Adapters, tmp_path: Path, drills: dict[str, str]) -> None:
    events: list[Event] = []
    disturbed = train(config_of(model("llama")), tmp_path, restarts=1, drills=[drills], events=events)
    assert disturbed == undisturbed
    resumed = {(e.party, e.step) for e in events if isinstance(e, CheckpointChanged) and e.action == "resumed"}
    assert {party for party, _ in resumed} == {"a", "server"}
    assert {step for _, step in resumed} <= {2, 4}
    assert len({step for _, step in resumed}) == 1


def test_a_kill_while_weights_are_averaged_changes_nothing(model: Model, tmp_path: Path) -> None:
    """Three attempts: a client dies before its weights are sent, then the server before the mean is."""
    config = config_of(model("llama"), schedule={"aggregate_every": 2})
    whole = train(config, tmp_path / "whole", parties=2)
    assert train(config, tmp_path / "killed", parties=2, restarts=2, drills=AVERAGING) == whole


@pytest.mark.parametrize("schedule", [{"mode": "parallel"}, {"mode": "splitfed_v1", "aggregate_every": 2}])
def test_a_kill_under_masks_changes_nothing_and_the_adapter_is_the_unmasked_one(
    model: Model, tmp_path: Path, schedule: dict[str, object]
) -> None:
    training = {"steps": 5, "micro_batches": 2, "eval_every": 0, "checkpoint_every": 2}
    kind = "gradients" if schedule["mode"] == "parallel" else "weights"
    drills = [{"b": f"send:adapter_{kind}@3"}, {"server": "before_step@4"}]
    plain, masked = (
        run_config(model("llama"), training=training, schedule=schedule, privacy={"sums": sums})
        for sums in ("plain", "masked")
    )
    whole = train(masked, tmp_path / "whole", parties=2)
    assert train(masked, tmp_path / "killed", parties=2, restarts=2, drills=drills) == whole
    for name, segment in train(plain, tmp_path / "plain", parties=2).items():
        ours, theirs = load(whole[name]), load(segment)
        assert max(float((ours[tensor] - theirs[tensor]).abs().max()) for tensor in theirs) < 1e-6


def test_a_kill_while_head_and_tail_are_handed_on_changes_nothing(model: Model, tmp_path: Path) -> None:
    config, drill = config_of(model("llama"), schedule={"mode": "sequential"}), {"b": "send:adapter_weights@3"}
    whole = train(config, tmp_path / "whole", parties=2)
    assert train(config, tmp_path / "killed", parties=2, restarts=1, drills=[drill]) == whole


def test_without_restarts_a_kill_is_reported_with_its_party_and_the_run_can_be_resumed(
    model: Model, undisturbed: Adapters, tmp_path: Path
) -> None:
    config, drill = config_of(model("llama")), {"server": "body_forward@3"}
    with pytest.raises(AppError, match="CL-1520") as caught:
        train(config, tmp_path, drills=[drill])
    assert caught.value.details == {"party": "server", "status": -9, "step": 2}
    (tmp_path / "halves").rename(tmp_path / "before")
    assert train(config, tmp_path) == undisturbed


def test_kills_without_progress_end_the_run_with_a_code(model: Model, tmp_path: Path) -> None:
    with pytest.raises(AppError, match="CL-1533") as caught:
        train(config_of(model("llama")), tmp_path, restarts=1, drills=[{"a": "tail@1"}] * 2)
    assert caught.value.details == {"party": "a", "status": -9, "step": 0}
