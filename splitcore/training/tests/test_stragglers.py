"""A late party: the step goes on without it, renormalised, or the run pauses; it finds its way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

import splitcore
from splitcore.config import RunConfig
from splitcore.control.events import SERVER, Event, PartyLate, StepFinished
from splitcore.errors import AppError
from splitcore.launch.threads import MemoryListener
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfSettings
from splitcore.training.client import ClientHalf
from splitcore.training.server import ServerHalf
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.test_parties import difference
from splitcore.training.unsplit import UnsplitRun
from splitcore.wire.protocol.channel import Channel
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import Kind, Message

Model = Callable[[str], Path]
SHARDS = {"a": rows(10), "b": rows(7, word="ticket"), "c": rows(6, word="case")}
STUCK = 2  # the step (from 0) in whose middle party c stands still


class StuckChannel:
    """A channel whose activations at one step, of an evaluation too, wait for a flag."""

    def __init__(self, channel: Channel, flag: Flag) -> None:
        self._channel, self._flag = channel, flag

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, message: Message, *, timeout: float | None = None) -> int:
        if message.kind is Kind.ACTIVATIONS and message.step == STUCK:
            self._flag.wait(60)
        return self._channel.send(message, timeout=timeout)


@pytest.fixture
def moves_on(monkeypatch: pytest.MonkeyPatch) -> Flag:
    """Party c stands still until this flag is set."""
    flag, connect = Flag(), MemoryListener.connect

    def stuck(self: MemoryListener, limits: FrameLimits) -> Any:
        channel = connect(self, limits)
        return StuckChannel(channel, flag) if limits.session.participant == "c" else channel

    monkeypatch.setattr(MemoryListener, "connect", stuck)
    return flag


class Central(UnsplitRun):
    """Central training in which some parties are absent from some steps."""

    absent: dict[int, list[str]]

    def _taking_part(self, step: int) -> list[str]:
        return [party for party in super()._taking_part(step) if party not in self.absent[step + 1]]


def config_of(model: Model, schedule: dict[str, Any], **training: Any) -> RunConfig:
    settings = {"steps": 16, "optimiser": "sgd", "learning_rate": 0.05, "micro_batches": 2, "eval_every": 0, **training}
    return run_config(model("llama"), training=settings, schedule=schedule)


@pytest.mark.parametrize("topology", ["u_shape", "vanilla"])
def test_a_step_goes_on_without_a_late_party_whose_contribution_is_dropped_and_which_comes_back(
    model: Model, tmp_path: Path, moves_on: Flag, topology: str
) -> None:
    config = run_config(
        model("llama"),
        split={"topology": topology},
        training={"steps": 16, "learning_rate": 1e-3, "micro_batches": 2, "eval_every": 10},
        schedule={"straggler": "continue", "deadline_factor": 2.0},
    )
    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepFinished) and event.party == SERVER and event.step == STUCK + 4:
            moves_on.set()

    result = splitcore.fine_tune(config, SHARDS, out=tmp_path / "split", eval_rows=rows(3), on_event=listen)
    absent = {event.step: event.absent for event in events if isinstance(event, StepFinished) and event.party == SERVER}
    assert all("c" in absent[step] for step in range(STUCK + 1, STUCK + 5))
    assert any("c" not in parties for step, parties in absent.items() if step > STUCK + 5)
    assert any(event.late == ["c"] and event.action == "continue" for event in events if isinstance(event, PartyLate))
    central = Central(config, SHARDS, tmp_path / "central", rows(3))
    central.absent = absent
    central.run()
    assert difference(tmp_path / "split" / "adapter", tmp_path / "central" / "adapter") < 2e-5
    assert result.eval_losses[-1][1] == pytest.approx(central.eval_losses[-1][1], abs=1e-5)
    segments = tmp_path / "split" / "segments"
    for role in ("head", "tail") if topology == "u_shape" else ("head",):
        assert difference(segments / "a" / role, segments / "c" / role) == 0.0
    steps = {event.step for event in events if isinstance(event, StepFinished) and event.party == "c"}
    assert steps == set(range(1, 17))


def test_a_party_that_is_stuck_in_an_evaluation_leaves_it(model: Model, tmp_path: Path, moves_on: Flag) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, StepFinished) and event.party == SERVER and event.step == STUCK + 3:
            moves_on.set()

    config = config_of(model, {"straggler": "continue"}, steps=8, eval_every=STUCK)
    held_out = dict.fromkeys(SHARDS, rows(3))
    splitcore.fine_tune(config, SHARDS, out=tmp_path, eval_rows=held_out, on_event=listen)
    assert difference(tmp_path / "segments/a/tail", tmp_path / "segments/c/tail") == 0.0


def test_ends_of_ones_own_stay_as_they_are_in_a_step_that_was_missed(
    model: Model, tmp_path: Path, moves_on: Flag
) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, StepFinished) and event.party == SERVER and event.step == 6:
            moves_on.set()

    schedule = {"mode": "personalised", "straggler": "continue", "deadline_factor": 10}
    config = config_of(model, schedule, steps=6)
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "six", on_event=listen)
    moves_on.clear()
    splitcore.fine_tune(config_of(model, {"mode": "personalised"}, steps=STUCK), SHARDS, out=tmp_path / "two")
    own = "segments/c/head"
    assert difference(tmp_path / "six" / own, tmp_path / "two" / own) == 0.0


def test_a_run_that_pauses_names_the_late_party_and_resumes_to_the_very_same_adapter(
    model: Model, tmp_path: Path, moves_on: Flag
) -> None:
    config = config_of(model, {"straggler": "pause", "deadline_factor": 20}, steps=5)

    def listen(event: Event) -> None:
        if isinstance(event, PartyLate):
            moves_on.set()

    with pytest.raises(AppError, match="CL-1534") as caught:
        splitcore.fine_tune(config, SHARDS, out=tmp_path / "paused", on_event=listen)
    assert caught.value.details == {"parties": ["c"], "step": STUCK + 1}
    splitcore.fine_tune(config, SHARDS, out=tmp_path / "paused", resume=True)
    splitcore.fine_tune(config_of(model, {}, steps=5), SHARDS, out=tmp_path / "whole")
    assert difference(tmp_path / "paused" / "adapter", tmp_path / "whole" / "adapter") == 0.0


class LostChannel(StuckChannel):
    """A channel that ends in the middle of a step."""

    def send(self, message: Message, *, timeout: float | None = None) -> int:
        if message.kind is Kind.ACTIVATIONS and message.step == STUCK:
            self._channel.close(timeout=1.0)
        return self._channel.send(message, timeout=timeout)


def test_the_others_go_on_when_a_party_is_lost(model: Model, tmp_path: Path) -> None:
    config = config_of(model, {"straggler": "continue", "deadline_factor": 50}, steps=5)
    door, ends, failed = MemoryListener(Flag()), dict[str, Any](), dict[str, BaseException]()
    absent: list[list[str]] = []

    def emit(event: Event) -> None:
        if isinstance(event, StepFinished) and event.party == SERVER:
            absent.append(event.absent)

    def connect(limits: FrameLimits) -> Any:
        channel = door.connect(limits)
        return LostChannel(channel, Flag()) if limits.session.participant == "c" else channel

    def settings(name: str) -> HalfSettings:
        source = config.model.name_or_path
        return HalfSettings(config=config, parties=list(SHARDS), model_source=source, out=tmp_path / name, emit=emit)

    halves: dict[str, Any] = {SERVER: ServerHalf(settings(SERVER), listen=door.listen)}
    halves |= {p: ClientHalf(settings(p), party=p, rows=SHARDS[p], connect=connect) for p in SHARDS}

    def work(name: str) -> None:
        try:
            ends[name] = halves[name].run().status
        except AppError as error:
            failed[name] = error

    threads = [Thread(target=work, args=(name,)) for name in halves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert ends == {SERVER: "done", "a": "done", "b": "done"}
    assert set(failed) == {"c"}
    assert absent == [[], [], ["c"], ["c"], ["c"]]


@pytest.mark.parametrize(
    "schedule",
    [
        {"mode": "sequential"},
        {"mode": "splitfed_v1"},
        {"aggregate_every": 4},
        {"group_clients": True},
    ],
)
def test_a_deadline_is_refused_where_no_part_can_be_left_out(schedule: dict[str, Any]) -> None:
    with pytest.raises(AppError, match="straggler"):
        RunConfig.parse({"model": {"name_or_path": "m"}, "schedule": {"straggler": "continue", **schedule}})
