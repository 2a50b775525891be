"""sequential: one client, one micro-batch, one thread a process, against the unsplit run on one thread.

With one micro-batch nothing overlaps: what is missing to 1 is what splitting costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.frame import Scale, Table, interleaved, show
from tests.benchmarks.speed import bench, speed_figure, split, unsplit

CUTS = {"1+1": (1, 1), "2+2": (2, 2)}  # head and tail layers of 9


def measure(scale: Scale) -> dict[str, Any]:
    """Speed of the split run ÷ speed of the unsplit one; `value` is the first cut's."""
    with bench(scale) as model:
        arms: dict[str, Any] = {"unsplit": lambda: unsplit(model.config(1, 1))}
        for name, cut in CUTS.items():
            arms[name] = lambda cut=cut: split(model.config(*cut))
        runs = interleaved(scale.of(5, 2), arms)
        cuts = {name: speed_figure(runs, name) for name in CUTS}
        return {**cuts["1+1"], "cuts": cuts, **model.describe()}


def rows(result: Mapping[str, Any]) -> Table:
    """Speed by cut, and where the CPU time went."""
    body = [
        (
            f"{name} of {result['layers']}",
            show(cut, 3),
            show(cut["split_seconds"], 3),
            show(cut["unsplit_seconds"], 3),
            show(cut["cpu_ratio"], 3),
            f"{1000 * cut['wire_cpu']['value']:.1f}",
        )
        for name, cut in result["cuts"].items()
    ]
    columns = (
        "client's layers",
        "split ÷ unsplit speed",
        "split s/step",
        "unsplit s/step",
        "CPU ÷ unsplit",
        "wire threads ms",
    )
    return Table("sequential: one micro-batch, one thread a process", columns, body, "target: 0.95")
