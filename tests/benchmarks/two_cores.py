"""two_cores: two processes of one thread each with a balanced cut, against the unsplit run on two threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.frame import Scale, Table, interleaved, show
from tests.benchmarks.speed import bench, speed_figure, split, unsplit

HEAD, TAIL = 2, 2
MICRO = 4


def measure(scale: Scale) -> dict[str, Any]:
    """Speed of the pipelined split run ÷ speed of the unsplit one on two threads, of the same whole batch."""
    with bench(scale) as model:
        config = model.config(HEAD, TAIL, MICRO)
        whole = model.config(HEAD, TAIL)
        runs = interleaved(
            scale.of(5, 2), {"unsplit": lambda: unsplit(whole, threads=2), "split": lambda: split(config)}
        )
        return {**speed_figure(runs, "split"), "cut": f"{HEAD}+{TAIL}", "micro_batches": MICRO, **model.describe()}


def rows(result: Mapping[str, Any]) -> Table:
    """One line."""
    seconds = [show(result[name], 3) for name in ("split_seconds", "unsplit_seconds", "client_cpu", "server_cpu")]
    body = [(f"{result['cut']} of {result['layers']}", show(result, 3), *seconds)]
    columns = (
        "client's layers",
        "split ÷ unsplit speed",
        "split s/step",
        "unsplit s/step",
        "client CPU s",
        "server CPU s",
    )
    return Table("two_cores: two processes against two threads", columns, body, "target: 0.9")
