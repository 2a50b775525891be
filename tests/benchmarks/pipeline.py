"""pipeline: one client with micro-batches in flight, one thread a process, against what two processes could reach.

The speed over the unsplit run (same micro-batches, one thread) as a share of the bound: total CPU ÷ CPU of the busier
side. `busy` is the stricter view: the part of a step's wall time in which the busier side computes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.speed import bench, speed_figure, split, unsplit

CUTS = {"1+1": (1, 1), "2+2": (2, 2)}
MICRO = 8


def measure(scale: Scale) -> dict[str, Any]:
    """Share of the bound; `value` is the more balanced cut's, the harder one."""
    with bench(scale) as model:
        arms: dict[str, Any] = {"unsplit": lambda: unsplit(model.config(1, 1, MICRO))}
        for name, (head, tail) in CUTS.items():
            arms[name] = partial(split, model.config(head, tail, MICRO))
        runs = interleaved(scale.of(3, 2), arms)
        cuts = {}
        for name in CUTS:
            shares = [one["unsplit"].wall / one[name].wall / one[name].bound for one in runs]
            cuts[name] = {
                **figure(shares),
                "busy": figure([max(one[name].cpu.values()) / one[name].wall for one in runs]),
                "bound": figure([one[name].bound for one in runs]),
                "speed": speed_figure(runs, name),
            }
        return {**cuts["2+2"], "cuts": cuts, "micro_batches": MICRO, **model.describe()}


def rows(result: Mapping[str, Any]) -> Table:
    """Share of the bound by cut."""
    body = [
        (
            f"{name} of {result['layers']}",
            show(cut, 3),
            show(cut["speed"], 3),
            show(cut["bound"], 3),
            show(cut["busy"], 3),
        )
        for name, cut in result["cuts"].items()
    ]
    columns = ("client's layers", "share of the bound", "speed over unsplit", "bound", "busier side busy")
    title = f"pipeline: {result['micro_batches']} micro-batches, one thread a process"
    return Table(title, columns, body, "target: 0.85")
