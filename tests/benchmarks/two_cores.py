"""two_cores: two processes of one thread each with a balanced cut, against the unsplit run on two threads.

Balanced: with six of twelve layers, embedding and output head, the client computes as long as the server. A step has 16
rows, so that a micro-batch of 4 of them keeps a core busy and the pipeline's fill is a small part of the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tests.benchmarks.frame import Scale, Table, interleaved, show
from tests.benchmarks.speed import bench, speed_figure, split, unsplit

LAYERS, HEAD, TAIL, ROWS = 12, 3, 3, 16
MICRO = (4, 8)


def measure(scale: Scale) -> dict[str, Any]:
    """Speed of the pipelined split run ÷ speed of the unsplit one on two threads, of the same whole batch.

    By number of micro-batches, which is for the user to choose; `value` is the better one's.
    """
    with bench(scale, layers=LAYERS) as made:
        model = replace(made, rows=ROWS)
        whole = model.config(HEAD, TAIL)
        arms: dict[str, Any] = {"unsplit": lambda: unsplit(whole, threads=2)}
        for micro in MICRO:
            arms[str(micro)] = lambda micro=micro: split(model.config(HEAD, TAIL, micro))
        runs = interleaved(scale.of(3, 2), arms)
        found = {str(micro): speed_figure(runs, str(micro)) for micro in MICRO}
        best = max(found.values(), key=lambda one: one["value"])
        return {**best, "micro_batches": found, "cut": f"{HEAD}+{TAIL}", **model.describe()}


def rows(result: Mapping[str, Any]) -> Table:
    """One line for each number of micro-batches."""
    parts = ("split_seconds", "unsplit_seconds", "client_cpu", "server_cpu")
    body = [
        (name, show(one, 3), *(show(one[part], 3) for part in parts)) for name, one in result["micro_batches"].items()
    ]
    columns = (
        "micro-batches",
        "split ÷ unsplit speed",
        "split s/step",
        "unsplit s/step",
        "client CPU s",
        "server CPU s",
    )
    title = f"two_cores: {result['cut']} of {result['layers']} layers at the client, against two threads"
    return Table(title, columns, body, "target: 0.9, with the better number of micro-batches")
