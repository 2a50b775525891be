"""How long a stop takes: from the click to the end of the last process and to the last worker's word (promise 29)."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.frame import Scale, Table, figure, show
from tests.integration.drills import (
    ENDLESS,
    event_of,
    gone,
    halves,
    moment,
    reach,
    reach_step,
    records_of,
    start_run,
)
from tests.stack import Stack, running_stack, wait_for

SITES = ("clinic", "bank", "compute")


def measure(scale: Scale) -> dict[str, Any]:
    """Stop a run of three workers a few times."""
    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder)) as stack:
        found = [_stop(stack, number) for number in range(scale.of(5, 2))]
    return {name: figure([one[name] for one in found]) for name in ("processes", "confirmed")}


def _stop(stack: Stack, number: int) -> dict[str, float]:
    run = start_run(stack.stage, f"Stop {number}", steps=ENDLESS)
    reach_step(stack.stage, run, 10)
    running = halves(stack, *SITES)
    asked = time.monotonic()
    stack.stage.parties["bank"].rest.post(f"/runs/{run}/stop", {"reason": "A measurement."})
    wait_for(lambda: gone(running), seconds=30, what="the end of every half's process")
    processes = time.monotonic() - asked
    ended = reach(stack.stage, run, "stopped", seconds=30)
    wanted = moment(event_of(records_of(stack.stage, run), "run.stopping")["at"])
    last = max(moment(part["stop_confirmed_at"]) for part in ended["participants"])
    return {"processes": processes, "confirmed": (last - wanted).total_seconds()}


def rows(result: Mapping[str, Any]) -> Table:
    """The result for people."""
    words = {"processes": "last process gone", "confirmed": "every worker has confirmed"}
    return Table(
        "Stop of a run of three workers",
        ("after the click", "median"),
        [(word, show(result[name], 2, " s")) for name, word in words.items()],
    )
