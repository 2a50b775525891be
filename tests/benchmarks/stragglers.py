"""stragglers: one of three clients ten times slower than the others; what its slowness costs them.

The slow client's activations leave it nine undisturbed steps late, so that a step of its takes ten. Compared with the
run without that client: the wall clock of the steps where the others go on without it, the same until the slow one has
come back and the run is over, and that of a run that waits.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from time import perf_counter
from typing import Any

from splitcore.control.events import Event, StepFinished
from splitcore.launch.threads import MemoryListener
from splitcore.run.settings import HalfSettings
from splitcore.training.client import ClientHalf
from splitcore.training.server import ServerHalf
from splitcore.wire.protocol.channel import Channel
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import Kind, Message
from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.models import full_rows, run_config, saved_model

LAYERS, WIDTH, ROWS, LENGTH = 6, 256, 4, 64
SLOWER = 10
SERVER = "server"


class SlowChannel:
    """A channel on which a micro-batch's activations leave after a while."""

    def __init__(self, channel: Channel, seconds: float) -> None:
        self._channel, self._seconds = channel, seconds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def send(self, message: Message, *, timeout: float | None = None) -> int:
        """See `Channel.send`."""
        if message.kind is Kind.ACTIVATIONS:
            Flag().wait(self._seconds)
        return self._channel.send(message, timeout=timeout)


def measure(scale: Scale) -> dict[str, Any]:
    """Wall clock with a slow client ÷ without it; `value` counts the steps of those who go on."""
    steps = scale.of(120, 30)
    with saved_model(scale.of(WIDTH, 128), LAYERS, vocabulary=512) as folder:
        alone = _seconds(folder, steps, "wait", slow=None)["step"]

        def arm(policy: str, count: int, slow: bool) -> Callable[[], dict[str, float]]:
            return lambda: _seconds(folder, count, policy, slow=(SLOWER - 1) * alone if slow else None)

        arms = {
            "without": arm("wait", steps, False),
            "continue": arm("continue", steps, True),
            "wait": arm("wait", steps // 6, True),
        }
        runs = interleaved(scale.of(3, 1), arms)
    ratio = {
        name: figure([one[name][part] / one["without"][part] for one in runs])
        for name, part in (("continue", "step"), ("wait", "step"))
    }
    whole = figure([one["continue"]["whole"] / one["without"]["whole"] for one in runs])
    return {
        **ratio["continue"],
        "to_the_end": whole,
        "wait": ratio["wait"],
        "without_slow": figure([one["continue"]["absent"] / steps for one in runs]),
        "steps": steps,
        "step_seconds": figure([one["without"]["step"] for one in runs]),
    }


def _seconds(folder: Path, steps: int, policy: str, *, slow: float | None) -> dict[str, float]:
    """Seconds a step, seconds a step until all halves are done, and the steps that went on without the slow client."""
    parties = ["a", "b"] if slow is None else ["a", "b", "c"]
    config = run_config(
        folder,
        steps=steps,
        rows=ROWS,
        length=LENGTH,
        split={"head_layers": 1, "tail_layers": 2},
        schedule={"straggler": policy},
        wire={"activations": "fp32", "gradients": "fp32"},
    )
    ends: list[float] = []
    absent: list[int] = []

    def emit(event: Event) -> None:
        if isinstance(event, StepFinished) and event.party == SERVER:
            ends.append(perf_counter())
            absent.append(len(event.absent))

    door = MemoryListener(Flag())

    def connect(limits: FrameLimits) -> Any:
        channel = door.connect(limits)
        return SlowChannel(channel, slow) if slow is not None and limits.session.participant == "c" else channel

    with tempfile.TemporaryDirectory() as out:

        def settings(name: str) -> HalfSettings:
            return HalfSettings(config=config, parties=parties, model_source=folder, out=Path(out) / name, emit=emit)

        rows = full_rows(4 * ROWS, LENGTH)
        halves: list[ServerHalf | ClientHalf] = [ServerHalf(settings(SERVER), listen=door.listen)]
        halves += [ClientHalf(settings(p), party=p, rows=rows, connect=connect) for p in parties]
        threads = [Thread(target=half.run) for half in halves]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        over = perf_counter()
    counted = steps - 1
    return {"step": (ends[-1] - ends[0]) / counted, "whole": (over - ends[0]) / counted, "absent": float(sum(absent))}


def rows(result: Mapping[str, Any]) -> Table:
    """What the slow client costs the others."""
    body = [
        ("continue: its steps", show(result, 3)),
        ("continue: until the slow one is back and done", show(result["to_the_end"], 3)),
        ("wait", show(result["wait"], 2)),
    ]
    note = (
        f"target for continue: 1.2; {result['without_slow']['value']:.0%} of {result['steps']} steps without it; "
        f"{1000 * result['step_seconds']['value']:.0f} ms a step without the slow client"
    )
    return Table(
        f"stragglers: one of three clients {SLOWER} times slower", ("policy", "wall clock ÷ without it"), body, note
    )
