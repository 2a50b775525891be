"""A value that is NaN or infinite: the step is applied nowhere or the run pauses, and all know where it came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import splitcore
from splitcore.boundary.boundary import Boundary
from splitcore.boundary.stages import At
from splitcore.config import RunConfig
from splitcore.control.events import EvaluationFinished, Event, NonFinite, SampleWritten, StepFinished
from splitcore.data.tokenise import IGNORED
from splitcore.errors import AppError
from splitcore.models.tests.tiny import rows
from splitcore.step import body, server
from splitcore.step.faults import MOST_IN_A_ROW
from splitcore.training.tests.conftest import run_config
from splitcore.wire.protocol.messages import Phase

Model = Callable[[str], Path]
SHARDS = {"a": rows(8), "b": rows(8)}
Poison = Callable[..., None]


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch) -> Poison:
    """Make what one party's conversation carries over one crossing NaN, in the given steps (from 0) or evaluations."""
    send = Boundary.out

    def put(party: str, phase: Phase, steps: set[int], *, evaluation: bool = False) -> None:
        def poisoned(self: Boundary, phase_: Phase, at: At, tensor_BLD: torch.Tensor) -> Any:
            evaluated = phase_ in (Phase.HEAD_UP, Phase.BODY_DOWN) and not tensor_BLD.requires_grad
            if (self.party, phase_, evaluated) == (party, phase, evaluation) and at.step in steps:
                tensor_BLD = tensor_BLD * float("nan")
            return send(self, phase_, at, tensor_BLD)

        monkeypatch.setattr(Boundary, "out", poisoned)

    return put


def config_of(model: Model, topology: str = "u_shape", **training: Any) -> RunConfig:
    training = {"steps": 4, "micro_batches": 2, "eval_every": 0, **training}
    return run_config(model("llama"), split={"topology": topology}, training=training)


def weights(out: Path) -> bytes:
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.promise(16)
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
    total, calls = server.total_norm, []

    def infinite(norms: Any) -> torch.Tensor:
        calls.append(1)
        return torch.tensor(float("inf")) if len(calls) == 2 else total(norms)

    monkeypatch.setattr(server, "total_norm", infinite)
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


@pytest.mark.parametrize(
    ("topology", "phase", "source", "where"),
    [
        ("u_shape", Phase.HEAD_UP, "a", "head"),
        ("u_shape", Phase.BODY_DOWN, "server", "body"),
        ("vanilla", None, "server", "loss"),
    ],
)
def test_an_evaluation_that_is_not_finite_has_no_loss_and_the_run_goes_on(
    model: Model,
    poison: Poison,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    topology: str,
    phase: Phase | None,
    source: str,
    where: str,
) -> None:
    config = config_of(model, topology, eval_every=2)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "clean")
    if phase is not None:
        poison("a", phase, {2}, evaluation=True)
    else:
        monkeypatch.setattr(body, "loss_sum", not_a_number_in_an_evaluation(call=2))
    events: list[Event] = []
    found = splitcore.fine_tune(
        config,
        SHARDS,
        out=tmp_path / "run",
        eval_rows={"a": rows(2)},
        sample_prompts=["item 1"],
        on_event=events.append,
    )
    assert [e for e in events if isinstance(e, NonFinite)] == [
        NonFinite("a", 2, source, where, "a", pauses=False, evaluation=True)
    ]
    losses = {event.step: event.loss for event in events if isinstance(event, EvaluationFinished)}
    assert [step for step, loss in losses.items() if loss is None] == [2]
    assert [step for step, _ in found.eval_losses] == [0, 4]
    assert [event.step for event in events if isinstance(event, SampleWritten)] == [0, 4]
    assert all(json.dumps(event.to_dict(), allow_nan=False) for event in events)
    assert weights(tmp_path / "run") == weights(tmp_path / "clean")


def not_a_number_in_an_evaluation(call: int) -> Any:
    """The loss of the half that holds the output head, NaN in the one evaluated micro-batch with this number."""
    true, calls = body.loss_sum, []

    def loss(logits_BLV: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
        if not logits_BLV.requires_grad and bool((labels_BL != IGNORED).any()):
            calls.append(1)
            return true(logits_BLV, labels_BL) * (float("nan") if len(calls) == call else 1.0)
        return true(logits_BLV, labels_BL)

    return loss


def test_an_evaluation_that_is_not_finite_pauses_a_run_that_is_to_pause(
    model: Model, poison: Poison, tmp_path: Path
) -> None:
    """It is measured again when the run goes on, and pauses no second time; nor does the one after the last step."""
    config = config_of(model, eval_every=2, on_non_finite="pause")
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "clean")
    poison("b", Phase.HEAD_UP, {0, 2, 4}, evaluation=True)
    told: list[tuple[int, bool]] = []

    def listen(event: Event) -> None:
        if isinstance(event, NonFinite):
            told.append((event.step, event.pauses))

    def train(*, resume: bool) -> None:
        held_out = {"b": rows(2)}
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "run", eval_rows=held_out, on_event=listen, resume=resume)

    for step in (0, 2):
        with pytest.raises(AppError, match="CL-1532") as caught:
            train(resume=step > 0)
        assert caught.value.details == {"party": "b", "where": "head", "rows": "b", "step": step}
    train(resume=True)
    assert told == [(0, True), (0, False), (2, True), (2, False), (4, False)]
    assert weights(tmp_path / "run") == weights(tmp_path / "clean")
