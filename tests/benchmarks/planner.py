"""planner: the form's estimate of a step's time against the measurement, on a fast network and on a slow one.

The speeds of both sides are those of another run on this machine (another cut, half the micro-batches), as the form has
them from the last finished run; the links are what they are: loopback, and the slow network of `wan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from splitcore.config import RunConfig
from splitcore.planning import Link, ModelShape, Speeds, estimate
from splitcore.planning.measure import measure_folder
from splitcore.planning.segments import segments_of
from splitcore.planning.timing import step_operations
from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.halves import SERVER, run_split
from tests.benchmarks.slow_network import WAN, slowed
from tests.benchmarks.speed import PARTY, WARM, Bench, bench

LOOPBACK = Link(1e9, 1e9, 0.0005)
SLOW = Link(WAN.bandwidth, WAN.bandwidth, WAN.delay)
MICRO = 4
APART = ("wait", "send")


def measure(scale: Scale) -> dict[str, Any]:
    """Predicted ÷ measured step time; `value` is the one that is further from 1."""
    with bench(scale, layers=7) as model:
        shape = measure_folder(model.folder)
        runs = interleaved(scale.of(3, 1), {"round": lambda: _round(model, shape)})
    rounds = [one["round"] for one in runs]
    found = {
        name: figure(
            [one[name][0] / one[name][1] for one in rounds],
            predicted_seconds=figure([one[name][0] for one in rounds]),
            measured_seconds=figure([one[name][1] for one in rounds]),
        )
        for name in ("fast", "slow")
    }
    worst = max(found.values(), key=lambda one: abs(one["value"] - 1))
    return {"value": worst["value"], "spread": worst["spread"], **found}


def _round(model: Bench, shape: ModelShape) -> dict[str, tuple[float, float]]:
    """Network → (predicted, measured) seconds of a step."""
    speeds = _speeds(model, model.config(2, 1, MICRO // 2), shape)
    config = model.config(1, 1, MICRO)
    fast = run_split(config)[PARTY].wall(WARM)
    with ExitStack() as stack:
        through = run_split(config, through=lambda address: stack.enter_context(slowed(WAN, address)))
    slow = through[PARTY].wall(WARM)
    return {
        "fast": (_predicted(model, config, shape, speeds, LOOPBACK), fast),
        "slow": (_predicted(model, config, shape, speeds, SLOW), slow),
    }


def _speeds(model: Bench, config: RunConfig, shape: ModelShape) -> tuple[float, float]:
    """Operations a second of client and server in a run with `config`."""
    records = run_split(config)
    tokens = model.rows * model.length
    operations = step_operations(shape, segments_of(config, shape), tokens, model.length)
    seconds = [
        sum(value for stage, value in records[name].stage(WARM).items() if stage not in APART)
        for name in (PARTY, SERVER)
    ]
    return operations[0] / seconds[0], operations[1] / seconds[1]


def _predicted(model: Bench, config: RunConfig, shape: ModelShape, speeds: tuple[float, float], link: Link) -> float:
    lengths = (model.length, model.length)
    time = estimate(config, shape, lengths=lengths, speeds=Speeds(*speeds, link)).time.total
    if time is None:
        raise RuntimeError("the planner gave no time")
    return time.expected


def rows(result: Mapping[str, Any]) -> Table:
    """Both networks."""
    words = {"fast": "loopback", "slow": "50 Mbit/s, 40 ms round trip"}
    body = [
        (
            words[name],
            show(result[name], 3),
            show(result[name]["predicted_seconds"], 3),
            show(result[name]["measured_seconds"], 3),
        )
        for name in words
    ]
    columns = ("network", "predicted ÷ measured", "predicted s/step", "measured s/step")
    return Table("planner: the estimate of a step's time", columns, body, "target: within 20 %")
