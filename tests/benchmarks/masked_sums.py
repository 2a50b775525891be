"""masked_sums: what masking the sums of head and tail costs a step, with two and with eight clients.

All halves in threads of one process, a step summed under masks against the same step without. masks: a client's own
time to mask so many numbers, alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

import splitcore
from splitcore.control.events import Event, StepFinished
from splitcore.masking.fixed_point import to_fixed
from splitcore.masking.masks import Masks, Round
from tests.benchmarks.frame import Scale, Table, figure, interleaved, ratios, show
from tests.benchmarks.models import full_rows, run_config, saved_model

LAYERS, WIDTH, ROWS, LENGTH = 6, 256, 4, 64
CLIENTS = (2, 8)
NUMBERS = 1 << 20  # that are masked alone


def measure(scale: Scale) -> dict[str, Any]:
    """A step's seconds under masks ÷ without, and the seconds to mask a million numbers."""
    steps, rounds = scale.of(20, 6), scale.of(5, 2)
    found: dict[str, Any] = {}
    with saved_model(WIDTH, LAYERS) as folder:
        for clients in CLIENTS:
            arms = {sums: partial(_seconds, folder, clients, steps, sums) for sums in ("plain", "masked")}
            runs = interleaved(rounds, arms)
            found[str(clients)] = {
                "share": figure(ratios(runs, "masked", "plain")),
                "step": figure([1000 * one["plain"] for one in runs], unit="ms"),
                "masks": figure([1000 * _masking(clients) for _ in range(rounds)], unit="ms"),
            }
    return {**found[str(CLIENTS[0])]["share"], "clients": found, "numbers": NUMBERS}


def _seconds(folder: Path, clients: int, steps: int, sums: str) -> float:
    """Median seconds of a step at the server half."""
    config = run_config(
        folder,
        steps=steps,
        rows=ROWS,
        length=LENGTH,
        split={"head_layers": 1, "tail_layers": 2},
        privacy={"sums": sums},
    )
    ends: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, StepFinished) and event.party == "server":
            ends.append(perf_counter())

    shards = {f"party-{number}": full_rows(ROWS, LENGTH, seed=number) for number in range(clients)}
    with tempfile.TemporaryDirectory() as out:
        splitcore.fine_tune(config, shards, out=out, on_event=note)
    return median(after - before for before, after in pairwise(ends))


def _masking(clients: int) -> float:
    """Seconds in which one client masks NUMBERS numbers."""
    names = [str(number) for number in range(clients)]
    own = Masks("0", names, {name: name.encode().ljust(32) for name in names[1:]})
    values = {"x": torch.randn(NUMBERS)}
    start = perf_counter()
    own.masked(to_fixed(values, parties=clients), Round.GRADIENTS, 1, 1)
    return perf_counter() - start


def rows(result: Mapping[str, Any]) -> Table:
    """A row for each number of clients."""
    body = [
        [clients, show(one["step"], 0, " ms"), show(one["share"]), show(one["masks"], 1, " ms")]
        for clients, one in result["clients"].items()
    ]
    note = f"{LAYERS} layers of width {WIDTH}, {ROWS} rows of {LENGTH} tokens per client; masks: of {NUMBERS:,} numbers"
    return Table("masked_sums: a step under masks", ("clients", "step", "masked ÷ plain", "masks"), body, note)
