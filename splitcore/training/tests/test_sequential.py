"""Clients in turn: equal to one model that sees the clients' batches in that order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import splitcore
from splitcore.config.exchange import own_steps, total_steps, whose_turn
from splitcore.models.tests.tiny import rows
from splitcore.training.events import EvaluationFinished, Event, StepFinished
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket"), "c": rows(6, word="case")}
SEQUENTIAL = {"mode": "sequential", "turn_steps": 2}


@pytest.mark.parametrize(
    ("topology", "transport", "optimiser"),
    [
        ("u_shape", "memory", "adamw"),
        ("vanilla", "memory", "sgd"),
        pytest.param("u_shape", "grpc", "adamw", marks=pytest.mark.integration),
    ],
)
def test_relayed_turns_equal_the_unsplit_run_over_the_same_batches_to_the_last_bit(
    model: Model, tmp_path: Path, topology: str, transport: str, optimiser: str
) -> None:
    config = run_config(
        model("llama"),
        split={"topology": topology},
        training={"steps": 9, "micro_batches": 2, "eval_every": 3, "optimiser": optimiser},
        schedule=SEQUENTIAL,
    )
    events: list[Event] = []
    whole = splitcore.fine_tune_unsplit(config, SHARDS, out=tmp_path / "unsplit", eval_rows=rows(3))
    split = splitcore.fine_tune(
        config,
        SHARDS,
        out=tmp_path / "split",
        eval_rows=dict.fromkeys(SHARDS, rows(3)),
        transport=transport,  # type: ignore[arg-type]
        on_event=events.append,
    )
    assert difference(tmp_path / "split" / "adapter", tmp_path / "unsplit" / "adapter") == 0.0
    assert split.train_losses == whole.train_losses
    assert [len(losses) for losses in split.train_losses.values()] == [4, 3, 2]
    measured = {(event.party, event.step): event.loss for event in events if isinstance(event, EvaluationFinished)}
    assert measured == {(party, step): loss for party in SHARDS for step, loss in whole.eval_losses}
    turns = {
        (e.party, e.step): e.loss is not None for e in events if isinstance(e, StepFinished) and e.party != "server"
    }
    assert turns == {(p, s + 1): "abc"[s // 2 % 3] == p for p in SHARDS for s in range(9)}
    for party in ("b", "c"):
        assert difference(tmp_path / "split/segments/a/head", tmp_path / f"split/segments/{party}/head") == 0.0


def test_the_turns_and_each_partys_own_count_follow_the_contracts_order() -> None:
    schedule = run_config(Path("m"), schedule=SEQUENTIAL).schedule
    assert [whose_turn(schedule, 3, step) for step in range(8)] == [0, 0, 1, 1, 2, 2, 0, 0]
    for place in range(3):
        had = [sum(whose_turn(schedule, 3, before) == place for before in range(step)) for step in range(14)]
        assert [own_steps(schedule, 3, place, step) for step in range(14)] == had


@pytest.mark.parametrize(("mode", "steps"), [("parallel", 15), ("sequential", 32)])
def test_epochs_count_the_largest_dataset(mode: str, steps: int) -> None:
    training = {"steps": None, "epochs": 2, "batch_size": 4}
    config = run_config(Path("m"), training=training, schedule={"mode": mode, "turn_steps": 2})
    assert total_steps(config, [10, 30], [4, 4]) == steps
