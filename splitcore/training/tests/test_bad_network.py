"""Whole trainings over a network that damages frames, breaks, stays away, or brings back a half of the past."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import monotonic
from typing import Any

import pytest

from splitcore.checkpoints.files import checkpoint_steps
from splitcore.codecs.payload import Buffer
from splitcore.config import RunConfig
from splitcore.control.events import PhaseChanged, StepFinished
from splitcore.errors import AppError
from splitcore.launch import threads as local
from splitcore.models.tests.tiny import rows
from splitcore.run.settings import HalfSettings
from splitcore.step.link import LostError
from splitcore.training.tests.conftest import run_config
from splitcore.training.tests.grpc_halves import Adapter, Halves, adapter
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.session import Session
from splitcore.wire.tests.relay import Relay
from splitcore.wire.transport import grpc_channel
from splitcore.wire.transport.faults import FaultRates, FaultyWire
from splitcore.wire.transport.memory import memory_pair

Model = Callable[[str], Path]
FAULTS = {name: FaultRates(**{name: 0.2}) for name in ("drop", "duplicate", "reorder", "corrupt", "truncate")}


@pytest.fixture
def config(model: Model) -> RunConfig:
    return run_config(model("llama"), training={"steps": 6, "micro_batches": 2, "eval_every": 0, "checkpoint_every": 2})


@pytest.fixture
def clean(config: RunConfig, tmp_path: Path) -> Adapter:
    """The adapter over an undisturbed wire."""
    return in_memory(config, tmp_path / "clean")


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = monotonic() + seconds
    while not condition():
        assert monotonic() < deadline, "the condition did not come true in time"
        Flag().wait(0.01)


def in_memory(config: RunConfig, out: Path) -> Adapter:
    settings = HalfSettings(config=config, parties=["a"], model_source=config.model.name_or_path, out=out)
    return adapter(local.run_in_threads(settings, {"a": rows(10)}, {}, ()))


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_frames_do_not_change_the_adapter(
    config: RunConfig, clean: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    wires = [FaultyWire(FAULTS[fault], seed) for seed in (1, 2)]

    def faulty_pair(client: FrameLimits, server: FrameLimits, **options: Any) -> tuple[Session, Session]:
        return memory_pair(client, server, up=wires[0], down=wires[1], probe_after=0.02, **options)

    monkeypatch.setattr(local, "memory_pair", faulty_pair)
    assert in_memory(config, tmp_path / fault) == clean
    assert all(wire.faults[fault] > 3 for wire in wires)


@pytest.mark.promise(19)
def test_damaged_frames_over_grpc_do_not_change_the_adapter(
    config: RunConfig, clean: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are disturbed behind TLS; a bit that changes before it ends the connection, which is dialled again."""
    deliver, wires = Session.deliver, {}
    rates = FaultRates(duplicate=0.1, reorder=0.1, truncate=0.05)

    def disturbed(self: Session, generation: int, data: Buffer) -> None:
        wire = wires.setdefault(self, FaultyWire(rates, len(wires)))
        for frame in wire(bytes(data)):
            deliver(self, generation, frame)

    monkeypatch.setattr(Session, "deliver", disturbed)
    halves = Halves(config, tmp_path / "grpc")

    def damage(step: int) -> None:
        if step == 2 and halves.relay is not None:
            halves.relay.damage = True

    halves.on_step = damage
    assert halves.run() == clean
    assert halves.relay is not None
    assert not halves.relay.damage
    assert sum(sum(wire.faults.values()) for wire in wires.values()) > 10


@pytest.mark.promise(27, figure="difference 0.0; 4.0 s after a 30-s cut")
def test_a_network_that_comes_back_in_time_costs_time_only(config: RunConfig, clean: Adapter, tmp_path: Path) -> None:
    halves = Halves(config, tmp_path / "cut")
    back = Flag()

    def cut(step: int) -> None:
        if step != 3 or halves.relay is None:
            return
        halves.relay.refusing = True
        halves.relay.cut()
        Thread(target=come_back, args=(halves.relay,), daemon=True).start()

    def come_back(relay: Relay) -> None:
        back.wait(1.0)
        relay.refusing = False

    halves.on_step = cut
    assert halves.run() == clean


@pytest.mark.promise(27)
@pytest.mark.parametrize(
    "forget", [False, True], ids=["and passes on what it held", "and has forgotten its connections"]
)
def test_a_network_that_swallows_everything_in_silence_costs_time_only(
    config: RunConfig, clean: Adapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget: bool
) -> None:
    """Nobody is told that the connection is dead; a dial in the meantime hangs too."""
    monkeypatch.setattr(grpc_channel, "SILENCE_MS", 1000)  # seconds instead of half a minute
    halves = Halves(config, tmp_path / "silent")
    returned: list[float] = []
    went_on: list[float] = []
    before: list[int] = []

    def swallow(step: int) -> None:
        if step == 3 and halves.relay is not None:
            before.append(halves.relay.connections)
            halves.relay.swallow()
            Thread(target=come_back, args=(halves.relay,), daemon=True).start()
        elif step == 4:
            went_on.append(monotonic())

    def come_back(relay: Relay) -> None:
        until(lambda: relay.connections > before[0])  # given up, and dialled anew in vain
        returned.append(monotonic())
        relay.restore(forget=forget)

    halves.on_step = swallow
    assert halves.run() == clean
    assert 0 < went_on[0] - returned[0] < 15


def test_a_network_that_stays_away_interrupts_both_halves_which_go_on_later_from_a_common_step(
    config: RunConfig, clean: Adapter, tmp_path: Path
) -> None:
    halves = Halves(config, tmp_path / "run", patience=1.0)
    cut_at: list[float] = []

    def cut(step: int) -> None:
        if step == 3 and halves.relay is not None:
            halves.relay.refusing = True
            halves.relay.cut()
            cut_at.append(monotonic())

    halves.on_step = cut
    halves.join(halves.start())
    assert monotonic() - cut_at[0] < 30
    assert all(isinstance(error, LostError) and error.code == "CL-1530" for error in halves.errors.values())
    assert set(halves.errors) == {"a", "server"}
    phases = [(event.party, event.phase) for event in halves.events if isinstance(event, PhaseChanged)]
    for half in halves.errors:  # what they had is saved, not only what was due, and a stop waits for that
        assert [phase for party, phase in phases if party == half][-1] == "stopping"
        assert checkpoint_steps(tmp_path / "run" / "checkpoints" / half)[-1] == 3
    resumed = Halves(config, tmp_path / "run", attempt=2)
    assert resumed.run() == clean
    assert min(event.step for event in resumed.events if isinstance(event, StepFinished)) == 4


def test_a_half_of_an_older_attempt_that_comes_back_is_refused_and_changes_nothing(
    config: RunConfig, clean: Adapter, tmp_path: Path
) -> None:
    frozen, thaw, asleep = Halves(config, tmp_path / "run"), Flag(), Flag()

    def sleep(step: int) -> None:
        if step == 3:
            asleep.set()
            thaw.wait(120)

    frozen.on_step = sleep
    threads = frozen.start()
    assert asleep.wait(60)
    current = Halves(config, tmp_path / "run", attempt=2)
    stale = Halves(config, tmp_path / "stale").client
    codes: list[str] = []

    def come_back(step: int) -> None:
        if step == 3:
            with pytest.raises(AppError) as caught:
                stale.run()
            codes.append(caught.value.code)

    stale._connect = current.connect
    current.on_step = come_back
    assert current.run() == clean
    assert codes == ["CL-1306"]  # at the new server half's door
    thaw.set()
    frozen.join(threads)
    assert {getattr(error, "code", "") for error in frozen.errors.values()} == {"CL-1503"}  # at the checkpoints


def test_a_client_half_that_was_started_anew_ends_the_server_half_that_waits_for_the_old_one(
    config: RunConfig, tmp_path: Path
) -> None:
    halves, waiting, over = Halves(config, tmp_path / "run"), Flag(), Flag()

    def sleep(step: int) -> None:
        if step == 3:
            waiting.set()
            over.wait(120)

    halves.on_step = sleep
    threads = halves.start()
    assert waiting.wait(60)
    newer = Halves(config, tmp_path / "newer", attempt=2).client
    newer._connect = halves.connect
    with pytest.raises(AppError, match="CL-1530"):
        newer.run()
    over.set()
    halves.join(threads)
    assert isinstance(halves.errors["server"], LostError)
    assert getattr(halves.errors["a"], "code", "") == "CL-1306"
