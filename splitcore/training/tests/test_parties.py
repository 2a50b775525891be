"""Several data parties: central training, averaging, adapters of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import splitcore
from splitcore.adapters.verify import verify_loads
from splitcore.control.events import EvaluationFinished, Event, RowsLeftOut, SampleWritten, StepFinished
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.training.tests.conftest import STEPS, run_config

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket")}


def difference(one: Path, other: Path) -> float:
    """The largest difference between two adapters."""
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    assert ours.keys() == theirs.keys()
    return max(float((ours[name] - theirs[name]).abs().max()) for name in ours)


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_two_parties_equal_the_centralised_big_batch(model: Model, tmp_path: Path, topology: str) -> None:
    config = run_config(model("llama"), split={"topology": topology}, training={"micro_batches": 2})
    whole = splitcore.fine_tune_unsplit(config, SHARDS, out=tmp_path / "unsplit")
    split = splitcore.fine_tune(config, SHARDS, out=tmp_path / "split")
    assert difference(tmp_path / "split" / "adapter", tmp_path / "unsplit" / "adapter") < 1e-4
    assert difference(tmp_path / "split" / "initial_adapter", tmp_path / "unsplit" / "initial_adapter") == 0.0
    for party in SHARDS:
        assert split.train_losses[party] == pytest.approx(whole.train_losses[party], abs=1e-4)


def test_a_repeated_run_of_two_parties_with_dropout_gives_the_same_bits(model: Model, tmp_path: Path) -> None:
    config = run_config(
        model("llama"),
        lora={"dropout": 0.2},
        wire={"activations": "bf16", "gradients": "int8"},
        training={"steps": 6, "micro_batches": 2},
    )
    first = splitcore.fine_tune(config, SHARDS, out=tmp_path / "one")
    second = splitcore.fine_tune(config, SHARDS, out=tmp_path / "two")
    assert difference(tmp_path / "one" / "adapter", tmp_path / "two" / "adapter") == 0.0
    assert first.train_losses == second.train_losses


@pytest.mark.integration
def test_two_parties_in_processes_equal_two_parties_in_memory(model: Model, tmp_path: Path) -> None:
    config = run_config(model("qwen3"), training={"steps": 4, "micro_batches": 2})
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "memory")
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "grpc", transport="grpc")
    assert difference(tmp_path / "memory" / "adapter", tmp_path / "grpc" / "adapter") == 0.0


def test_averaging_keeps_the_parties_alike_and_near_central_training(model: Model, tmp_path: Path) -> None:
    config = run_config(model("llama"), schedule={"aggregate_every": 3}, training={"steps": 8})
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "split")
    splitcore.fine_tune_unsplit(config, SHARDS, out=tmp_path / "unsplit")
    assert 0.0 < difference(tmp_path / "split" / "adapter", tmp_path / "unsplit" / "adapter") < 0.1
    for role in ("head", "tail"):
        assert difference(tmp_path / "split/segments/a" / role, tmp_path / "split/segments/b" / role) == 0.0


def test_averaging_every_step_with_sgd_equals_summing_gradients(model: Model, tmp_path: Path) -> None:
    training = {"steps": 1, "optimiser": "sgd", "learning_rate": 0.1, "clip_norm": None}
    for every in (1, 2):
        config = run_config(model("llama"), schedule={"aggregate_every": every}, training=training)
        splitcore.fine_tune(config, SHARDS, out=tmp_path / str(every))
    assert difference(tmp_path / "1" / "adapter", tmp_path / "2" / "adapter") < 1e-6


def test_without_aggregation_every_party_keeps_its_own_ends_and_rank(model: Model, tmp_path: Path) -> None:
    config = run_config(model("llama"), schedule={"aggregate_every": 0}, parties={"b": {"rank": 3}})
    splitcore.fine_tune(config, SHARDS, out=tmp_path, eval_rows=rows(2))
    config = run_config(model("llama"), schedule={"mode": "personalised"}, parties={"b": {"rank": 3}})
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "named")
    for party in SHARDS:
        assert difference(tmp_path / "adapters" / party, tmp_path / "named" / "adapters" / party) == 0.0
    ours, theirs = (load_file(tmp_path / "adapters" / party / "adapter_model.safetensors") for party in SHARDS)
    body = [name for name in ours if ".layers.1." in name or ".layers.2." in name]
    assert all(torch.equal(ours[name], theirs[name]) for name in body)
    patterns = json.loads((tmp_path / "adapters" / "b" / "adapter_config.json").read_text())["rank_pattern"]
    assert set(patterns.values()) == {2}
    assert all(verify_loads(model("llama"), tmp_path / "adapters" / party).ok for party in SHARDS)


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_events_tell_steps_evaluations_and_samples(model: Model, tmp_path: Path, topology: str) -> None:
    events: list[Event] = []
    config = run_config(model("llama"), split={"topology": topology}, training={"steps": 4, "eval_every": 2})
    result = splitcore.fine_tune(
        config,
        SHARDS,
        out=tmp_path,
        eval_rows={"a": rows(3), "b": rows(2, word="ticket")},
        on_event=events.append,
        sample_prompts=["item 1", "ticket 2"],
    )
    steps = [event for event in events if isinstance(event, StepFinished)]
    assert {(event.party, event.step) for event in steps} == {
        (party, step) for party in ("a", "b", "server") for step in range(1, 5)
    }
    assert all(event.uplink_bytes > 0 and event.downlink_bytes > 0 and event.grad_norm > 0 for event in steps)
    seen = {(event.party, event.step): event.seen_tokens for event in steps}
    assert all(seen["server", step] == seen["a", step] + seen["b", step] > 0 for step in range(1, 5))
    assert all(event.seen_tokens > event.tokens for event in steps)
    evaluations = [event for event in events if isinstance(event, EvaluationFinished)]
    assert {(event.party, event.step) for event in evaluations} == {(p, s) for p in ("a", "b") for s in (0, 2, 4)}
    assert {event.party: event.rows for event in evaluations} == {"a": 3, "b": 2}
    assert [step for step, _ in result.eval_losses] == [0, 2, 4]
    samples = [event for event in events if isinstance(event, SampleWritten)]
    assert [(event.step, event.index) for event in samples] == [(s, i) for s in (0, 2, 4) for i in (0, 1)]
    phases = [event.to_dict()["phase"] for event in events if event.kind == "phase" and event.party == "a"]
    assert phases[0] == "starting"
    assert phases[-1] == "done"


@pytest.mark.parametrize(
    "parties", [{"c": {"batch_size": 4}}, {"b": {"head_layers": 2}}, {"b": {"rank": 3}}, {"b": {"batch_size": 3}}]
)
def test_an_override_that_the_schedule_cannot_honour_is_refused(
    model: Model, tmp_path: Path, parties: dict[str, dict[str, int]]
) -> None:
    config = run_config(model("llama"), parties=parties, training={"micro_batches": 2})
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(config, SHARDS, out=tmp_path)
    assert caught.value.code == "CL-1001"


@pytest.mark.parametrize("transport", ["memory", pytest.param("grpc", marks=pytest.mark.integration)])
def test_a_bad_row_of_one_party_ends_the_run_with_its_cause(model: Model, tmp_path: Path, transport: str) -> None:
    shards = {"a": rows(10), "b": [{"prompt": "x", "completion": ""}]}
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(run_config(model("llama")), shards, out=tmp_path, transport=transport)  # type: ignore[arg-type]
    assert caught.value.code == "CL-1202"
    assert caught.value.details["row"] == 1


LONG = {"prompt": "a prompt far beyond the longest row " * 9, "completion": "yes"}


def test_rows_whose_prompt_fills_the_longest_row_are_left_out_told_and_change_no_number(
    model: Model, tmp_path: Path
) -> None:
    events: list[Event] = []
    config = run_config(model("llama"))
    plain = {"a": rows(10), "b": rows(7, word="thing")}
    mixed = {"a": [LONG, *plain["a"], LONG], "b": plain["b"]}
    with_long = splitcore.fine_tune(
        config, mixed, out=tmp_path / "mixed", eval_rows=[LONG, *rows(3)], on_event=events.append
    )
    without = splitcore.fine_tune(config, plain, out=tmp_path / "plain", eval_rows=rows(3))
    assert with_long.train_losses == without.train_losses
    assert with_long.eval_losses == without.eval_losses
    [told] = [event for event in events if isinstance(event, RowsLeftOut)]
    assert (told.party, told.rows, told.held_out) == ("a", 2, 1)
    assert told.max_length == config.training.max_length


def test_a_party_of_which_no_row_has_a_target_left_is_named_with_its_count(model: Model, tmp_path: Path) -> None:
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(run_config(model("llama")), {"a": rows(4), "b": [LONG] * 3}, out=tmp_path)
    assert caught.value.code == "CL-1203"
    assert caught.value.message.startswith("b: in each of its 3 rows")
    assert "training.max_length" in caught.value.message + caught.value.remedy


def test_a_cut_outside_the_model_and_a_missing_model_are_refused(model: Model, tmp_path: Path) -> None:
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(run_config(model("llama"), split={"head_layers": 9}), {"a": rows(4)}, out=tmp_path)
    assert caught.value.code == "CL-1002"
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(run_config(tmp_path / "nowhere"), {"a": rows(4)}, out=tmp_path)
    assert caught.value.code == "CL-1103"
    config = run_config(model("llama"), lora={"target_modules": ["nothing"]})
    with pytest.raises(AppError) as caught:
        splitcore.fine_tune(config, {"a": rows(4)}, out=tmp_path)
    assert caught.value.code == "CL-1105"


def test_a_published_adapter_names_no_path(model: Model, tmp_path: Path) -> None:
    splitcore.fine_tune(run_config(model("llama"), training={"steps": 1}), {"a": rows(4)}, out=tmp_path)
    for path in tmp_path.rglob("*.json"):
        assert str(model("llama").parent) not in path.read_text()


def test_the_loss_falls(model: Model, tmp_path: Path) -> None:
    config = run_config(model("llama"), wire={"activations": "bf16", "gradients": "bf16"})
    result = splitcore.fine_tune(config, SHARDS, out=tmp_path, eval_rows=rows(3))
    assert len(result.train_losses["b"]) == STEPS
    assert result.eval_losses[-1][1] < result.eval_losses[0][1] - 0.1
