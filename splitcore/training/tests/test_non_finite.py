"""A value that is NaN or infinite: the step is applied nowhere or the run pauses, and all know where it came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore.config import RunConfig
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.training import server_step
from splitcore.training.crossings import Crossings, Place
from splitcore.training.events import Event, NonFinite, StepFinished
from splitcore.training.finite import MOST_IN_A_ROW
from splitcore.training.tests.conftest import run_config
from splitcore.wire.messages import Phase

Model = Callable[[str], Path]
SHARDS = {"a": rows(8), "b": rows(8)}
Poison = Callable[[str, Phase, set[int]], None]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Make what one party's conversation carries over one crossing NaN, in the given steps (from 0)."""
    send = Crossings.send

    def put(party: str, phase: Phase, steps: set[int]) -> None:
        def poisoned(self: Crossings, at: Phase, place: Place, tensor_BLD: torch.Tensor) -> Any:
            if (self._party, at) == (party, phase) and place.step in steps and torch.is_grad_enabled():
                tensor_BLD = tensor_BLD * float("nan")
            return send(self, at, place, tensor_BLD)

        monkeypatch.setattr(Crossings, "send", poisoned)

    return put


def config_of(model: Model, **training: Any) -> RunConfig:
    return run_config(model("llama"), training={"steps": 4, "micro_batches": 2, "eval_every": 0, **training})


def weights(out: Path) -> bytes:
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


def test_the_step_is_skipped_everywhere_wherever_the_value_was_made(
    model: Model, poison: Poison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, results = config_of(model), []
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "clean")
    cases = {
        Phase.HEAD_UP: ("b", "head"),
        Phase.BODY_DOWN: ("server", "body"),
        Phase.TAIL_UP: ("b", "tail"),
        Phase.BODY_GRAD_DOWN: ("server", "body"),
    }
    for phase, (source, where) in cases.items():
        poison("b", phase, {2})
        events: list[Event] = []
        found = splitcore.fine_tune(config, SHARDS, out=tmp_path / phase, on_event=events.append)
        told = {event for event in events if isinstance(event, NonFinite)}
        assert told == {NonFinite(party, 3, source, where, "b") for party in ("a", "b", "server")}
        assert {event.step for event in events if isinstance(event, StepFinished)} == {1, 2, 3, 4}
        assert [len(losses) for losses in found.train_losses.values()] == [3, 3]
        results.append(weights(tmp_path / phase))
    assert len(set(results)) == 1
    assert results[0] != weights(tmp_path / "clean")


def test_a_gradient_that_only_the_norm_shows_is_skipped_too(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total, calls = server_step.total_norm, []

    def infinite(norms: Any) -> torch.Tensor:
        calls.append(1)
        return torch.tensor(float("inf")) if len(calls) == 2 else total(norms)

    monkeypatch.setattr(server_step, "total_norm", infinite)
    events: list[Event] = []
    splitcore.fine_tune(config_of(model), SHARDS, out=tmp_path, on_event=events.append)
    assert {(e.source, e.where, e.step) for e in events if isinstance(e, NonFinite)} == {("server", "gradient", 2)}


def test_a_run_that_pauses_says_who_and_resumes_after_that_step(model: Model, poison: Poison, tmp_path: Path) -> None:
    poison("b", Phase.TAIL_UP, {2})
    splitcore.fine_tune(config_of(model), SHARDS, out=tmp_path / "skipped")
    config = config_of(model, on_non_finite="pause")
    with pytest.raises(AppError, match="CL-1532") as caught:
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "paused")
    assert caught.value.details == {"party": "b", "where": "tail", "rows": "b", "step": 3}
    resumed = splitcore.fine_tune(config, SHARDS, out=tmp_path / "paused", resume=True)
    assert weights(tmp_path / "paused") == weights(tmp_path / "skipped")
    assert [len(losses) for losses in resumed.train_losses.values()] == [3, 3]


def test_too_many_in_a_row_end_the_run(model: Model, poison: Poison, tmp_path: Path) -> None:
    poison("a", Phase.HEAD_UP, set(range(1, 40)))
    events: list[Event] = []
    with pytest.raises(AppError, match="CL-1531"):
        splitcore.fine_tune(config_of(model, steps=20), {"a": rows(8)}, out=tmp_path, on_event=events.append)
    assert max(event.step for event in events if isinstance(event, NonFinite)) == 1 + MOST_IN_A_ROW


def test_an_evaluation_that_is_not_finite_ends_the_run_with_a_code(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Crossings.send

    def poisoned(self: Crossings, at: Phase, place: Place, tensor_BLD: torch.Tensor) -> Any:
        bad = at is Phase.HEAD_UP and not torch.is_grad_enabled()
        return send(self, at, place, tensor_BLD * float("nan") if bad else tensor_BLD)

    monkeypatch.setattr(Crossings, "send", poisoned)
    with pytest.raises(AppError, match="CL-1311"):
        splitcore.fine_tune(config_of(model), {"a": rows(8)}, out=tmp_path, eval_rows=rows(3))
