"""recovery: how soon training goes on after a network cut or a kill, to the same adapter; what a checkpoint costs.

cut: the network between two halves is gone for 30 seconds in the middle of training; counted is the time from its
return to the client's next finished step. Three ways to go: connections break and new ones are refused (`reset`);
nothing gets through, nobody is told, and in the end all that was held comes at once (`late`); the same, but what stood
in those 30 seconds is dead for good, as behind a router that has lost its table (`never`). kill: SIGKILL of a half's
process; counted is the time from there to the next finished step of the next attempt, model and admission included. A
tiny model: the times are those of the machinery. checkpoint: an adapter of 10 million numbers with its moments,
written, synchronised and hashed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Event, Timer
from time import perf_counter
from typing import Any, Literal

import torch

from splitcore.checkpoints.files import Checkpoints, Owner
from splitcore.config import RunConfig
from splitcore.control.events import CheckpointChanged, StepFinished
from splitcore.launch.processes import run_in_processes
from splitcore.models.tests.tiny import rows as dataset
from splitcore.models.tests.tiny import save_model
from splitcore.run.settings import HalfSettings
from splitcore.training.tests.grpc_halves import Halves
from tests.benchmarks.frame import Scale, Table, figure, show

NUMBERS = 10_000_000
Way = Literal["reset", "late", "never"]
WAYS: tuple[Way, ...] = ("reset", "late", "never")
SAID: dict[Way, str] = {
    "reset": "connections break",
    "late": "silent, all of it comes late",
    "never": "silent, connections never return",
}


def measure(scale: Scale) -> dict[str, Any]:
    """Medians over repeated cuts, kills and checkpoints; the value is that of the way of cutting that costs most.

    `equal`: whether each adapter was the undisturbed one.
    """
    seconds, cuts, kills = scale.of(30, 3), scale.of(2, 1), scale.of(5, 2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = _config(save_model(folder / "model", "llama"))
        clean = Halves(config, folder / "clean").run()
        cut = {
            way: [_cut(config, folder / f"{way}-{number}", way, seconds, clean) for number in range(cuts)]
            for way in WAYS
        }
        killed = {
            who: [_kill(config, folder / f"kill-{who}-{number}", {who: place}) for number in range(kills)]
            for who, place in (("a", "tail@4"), ("server", "body_backward@4"))
        }
        checkpoint = [_checkpoint(folder / f"checkpoint-{number}") for number in range(scale.of(7, 3))]
    after = {way: figure([back for back, _ in runs], unit="s") for way, runs in cut.items()}
    return {
        **max(after.values(), key=lambda one: float(one["value"])),
        "cut_seconds": seconds,
        "cut": after,
        "equal": all(equal for runs in cut.values() for _, equal in runs),
        "kill": {who: figure(found, unit="s") for who, found in killed.items()},
        "checkpoint": figure(checkpoint, unit="s"),
        "checkpoint_mb": 3 * NUMBERS * 4 / 1e6,
    }


def rows(result: Mapping[str, Any]) -> Table:
    """What was lost in time."""
    same = "the same adapter" if result["equal"] else "ANOTHER ADAPTER"
    return Table(
        "recovery: seconds until training goes on",
        ("what", "s"),
        [
            *(
                (f"after a network cut of {result['cut_seconds']} s, {SAID[way]} ({same})", show(result["cut"][way]))
                for way in WAYS
            ),
            ("after a SIGKILL of the client half", show(result["kill"]["a"])),
            ("after a SIGKILL of the server half", show(result["kill"]["server"])),
            (f"a checkpoint of {result['checkpoint_mb']:.0f} MB", show(result["checkpoint"])),
        ],
        "target: 15 s after a cut of 30 s",
    )


def _config(model: Path) -> RunConfig:
    training = {"steps": 8, "batch_size": 4, "max_length": 32, "eval_every": 0, "checkpoint_every": 2}
    sections = {
        "model": {"name_or_path": str(model)},
        "split": {"head_layers": 1, "tail_layers": 2},
        "lora": {"rank": 2},
        "training": training,
    }
    return RunConfig.parse(sections)


def _cut(config: RunConfig, out: Path, way: Way, seconds: float, clean: list[bytes]) -> tuple[float, bool]:
    """Seconds from the network's return to the next step, and whether the adapter is the undisturbed one."""
    halves = Halves(config, out, patience=float(config.wire.patience))
    back, going = [0.0], [0.0]

    def restore() -> None:
        if halves.relay is not None:
            halves.relay.refusing = False
            back[0] = perf_counter()
            halves.relay.restore(forget=way == "never")

    def on_step(step: int) -> None:
        if step == 4 and halves.relay is not None:
            if way == "reset":
                halves.relay.refusing = True
                halves.relay.cut()
            else:
                halves.relay.swallow()
            Timer(seconds, restore).start()
        elif step == 5:
            going[0] = perf_counter()

    halves.on_step = on_step
    equal = halves.run() == clean
    return going[0] - back[0], equal


def _kill(config: RunConfig, out: Path, drill: Mapping[str, str]) -> float:
    """Seconds from the last event before the kill to the first finished step after the resumption."""
    last, going, resumed = [0.0], [0.0], Event()

    def emit(event: object) -> None:
        if isinstance(event, CheckpointChanged) and event.action == "resumed":
            resumed.set()
        elif isinstance(event, StepFinished) and not resumed.is_set():
            last[0] = perf_counter()
        elif isinstance(event, StepFinished) and not going[0]:
            going[0] = perf_counter()

    settings = HalfSettings(
        config=config,
        parties=["a"],
        model_source=config.model.name_or_path,
        out=out / "halves",
        checkpoints=out / "checkpoints",
        emit=emit,
    )
    run_in_processes(settings, {"a": dataset(10)}, {}, (), restarts=1, drills=[drill])
    return going[0] - last[0]


def _checkpoint(folder: Path) -> float:
    """Seconds of one checkpoint."""
    values = {"weights": torch.randn(NUMBERS, generator=torch.Generator().manual_seed(0))}
    moments = {f"moment-{number}": values["weights"].clone() for number in range(2)}
    checkpoints = Checkpoints(folder, Owner("a", "", ""))
    start = perf_counter()
    checkpoints.save(1, "branch", {"adapter": values, "optimiser": moments})
    return perf_counter() - start
