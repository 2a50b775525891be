"""Stopping within about a second with a checkpoint on both sides, pausing, going on from there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Literal

import pytest
import torch
from safetensors.torch import load_file

from splitcore import fine_tune
from splitcore.config import RunConfig
from splitcore.control.controller import Desired
from splitcore.control.events import CheckpointChanged, Event, PhaseChanged, StepFinished
from splitcore.errors import AppError
from splitcore.launch.threads import MemoryListener
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfResult, HalfSettings
from splitcore.training.client import ClientHalf
from splitcore.training.server import ServerHalf
from splitcore.training.tests.conftest import run_config

Model = Callable[[str], Path]
SEGMENTS = ("a/segments/head", "a/segments/tail", "server/segments/body")


class Pair:
    """A client half and a server half in threads, with a hand on what is wanted of each."""

    def __init__(self, config: RunConfig, out: Path, *, resume: Path | None = None, contract: str = "") -> None:
        self.wanted: dict[str, Desired] = {"a": "run", "server": "run"}
        self.events: list[Event] = []
        self.on_step: Callable[[str, int], None] = lambda party, step: None
        self.results: dict[str, HalfResult] = {}
        self.errors: dict[str, BaseException] = {}
        door = MemoryListener(Flag())

        def settings(name: str, shown: str) -> HalfSettings:
            return HalfSettings(
                config=config,
                parties=["a"],
                model_source=config.model.name_or_path,
                out=out / name,
                contract=shown,
                emit=self._emit,
                control=lambda: self.wanted[name],
                checkpoints=(resume or out) / name / "checkpoints",
            )

        self.halves = {
            "server": ServerHalf(settings("server", ""), listen=door.listen),
            "a": ClientHalf(settings("a", contract), party="a", rows=rows(10), connect=door.connect),
        }

    def _emit(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepFinished):
            self.on_step(event.party, event.step)

    def start(self) -> list[Thread]:
        threads = [Thread(target=self._work, args=(name,), daemon=True) for name in self.halves]
        for thread in threads:
            thread.start()
        return threads

    def _work(self, name: str) -> None:
        try:
            self.results[name] = self.halves[name].run()
        except BaseException as error:
            self.errors[name] = error

    def run(self) -> dict[str, HalfResult]:
        for thread in self.start():
            thread.join(timeout=60)
        assert not self.errors
        return self.results


@pytest.fixture
def config(model: Model) -> RunConfig:
    return run_config(model("llama"), training={"steps": 12, "micro_batches": 2})


def assert_resumes_as_whole(config: RunConfig, tmp_path: Path) -> None:
    """What was stopped in `stopped` goes on to the same bytes as what ran through in `whole`."""
    resumed = Pair(config, tmp_path / "resumed", resume=tmp_path / "stopped").run()
    assert {(result.status, result.step) for result in resumed.values()} == {("done", 12)}
    for segment in SEGMENTS:
        ours, theirs = (
            load_file(tmp_path / run / segment / "adapter_model.safetensors") for run in ("resumed", "whole")
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("who", ["a", "server"])
def test_a_stop_ends_both_within_a_second_and_a_resumed_run_ends_as_if_it_had_never_stopped(
    config: RunConfig, tmp_path: Path, who: str
) -> None:
    Pair(config, tmp_path / "whole").run()
    stopped = Pair(config, tmp_path / "stopped")
    asked: list[float] = []

    def stop(party: str, step: int) -> None:
        if (party, step) == (who, 5):
            stopped.wanted[who] = "stop"
            asked.append(monotonic())

    stopped.on_step = stop
    results = stopped.run()
    assert monotonic() - asked[0] < 3.0
    assert {result.status for result in results.values()} == {"stopped"}
    assert results["a"].step == results["server"].step
    assert_resumes_as_whole(config, tmp_path)


def test_a_step_is_told_before_a_checkpoint_holds_it_so_that_no_kill_between_them_loses_its_figures(
    model: Model, tmp_path: Path
) -> None:
    pair = Pair(run_config(model("llama"), training={"steps": 4, "checkpoint_every": 2}), tmp_path)
    pair.run()
    for party in ("a", "server"):
        own = [event for event in pair.events if getattr(event, "party", "") == party]
        told: set[int] = set()
        saved = []
        for event in own:
            if isinstance(event, StepFinished):
                told.add(event.step)
            elif isinstance(event, CheckpointChanged) and event.action == "saved" and event.step:
                assert event.step in told, (party, event.step)
                saved.append(event.step)
        assert saved == [2, 4]


def test_a_paused_half_waits_and_goes_on(config: RunConfig, tmp_path: Path) -> None:
    pair = Pair(config, tmp_path)
    pair.on_step = lambda party, step: pair.wanted.update(a="pause") if (party, step) == ("a", 3) else None
    threads = pair.start()
    deadline = monotonic() + 30
    waiting = Flag()
    while not any(isinstance(event, PhaseChanged) and event.phase == "paused" for event in list(pair.events)):
        assert monotonic() < deadline
        waiting.wait(0.02)
    assert max(event.step for event in pair.events if event.party == "a") == 3
    pair.wanted["a"] = "run"
    for thread in threads:
        thread.join(timeout=60)
    assert {(result.status, result.step) for result in pair.results.values()} == {("done", 12)}


def test_a_stop_before_the_first_client_ends_the_server_half(config: RunConfig, tmp_path: Path) -> None:
    pair = Pair(config, tmp_path)
    pair.wanted["server"] = "stop"
    pair._work("server")
    assert pair.results["server"].status == "stopped"


def test_halves_of_different_contracts_refuse_each_other(config: RunConfig, tmp_path: Path) -> None:
    pair = Pair(config, tmp_path, contract="another")
    for thread in pair.start():
        thread.join(timeout=60)
    assert set(pair.errors) == {"a", "server"}
    assert all(isinstance(error, AppError) for error in pair.errors.values())
    assert {getattr(error, "code", "") for error in pair.errors.values()} == {"CL-1505"}


@pytest.mark.parametrize("transport", ["memory", "grpc"])
def test_a_training_that_is_asked_to_stop_goes_on_later_to_the_same_adapter(
    model: Model, tmp_path: Path, transport: Literal["memory", "grpc"]
) -> None:
    config, shards = run_config(model("llama"), training={"steps": 8, "eval_every": 0}), {"a": rows(10)}
    whole = fine_tune(config, shards, out=tmp_path / "whole")
    begun = Flag()

    def notice(event: Event) -> None:
        if isinstance(event, StepFinished):
            begun.set()

    stopped = fine_tune(
        config,
        shards,
        out=tmp_path / "parts",
        transport=transport,
        on_event=notice,
        control=lambda: "stop" if begun.is_set() else "run",
    )
    assert stopped.status == "stopped"
    assert not (tmp_path / "parts" / "adapter").exists()
    rest = fine_tune(config, shards, out=tmp_path / "parts", transport=transport, resume=True)
    assert (rest.status, rest.train_losses) == ("done", whole.train_losses)
    one, other = (load_file(tmp_path / name / "adapter" / "adapter_model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one)
