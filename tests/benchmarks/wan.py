"""wan: 50 Mbit/s and 40 ms round trip: does pipelining hide the network, and do codecs shrink it?

The step time ÷ (max(compute, bytes ÷ bandwidth) + one pipeline fill). Compute is the CPU time of the busier side; the
fill one micro-batch's way through every stage: its share of both sides' CPU time, of the bytes in both directions, and
the latencies of its crossings and of the update. The naive split sends fp32 in one piece, as research code does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from splitcore.config import RunConfig
from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.halves import run_split
from tests.benchmarks.slow_network import WAN, Network, slowed
from tests.benchmarks.speed import PARTY, WARM, bench

MICRO = 4
CROSSINGS = 4 + 2  # of a micro-batch in the U-shape, and of the update
ARMS = {  # codec of activations and gradients, micro-batches
    "bf16, pipelined": ("bf16", MICRO),
    "int8, pipelined": ("int8", MICRO),
    "naive (fp32, one piece)": ("fp32", 1),
}


def measure(scale: Scale) -> dict[str, Any]:
    """By arm; `value` is the worse of the pipelined ones."""
    with bench(scale, layers=7) as model:
        arms = {}
        for name, (codec, micro) in ARMS.items():
            config = model.config(1, 1, micro, wire={"activations": codec, "gradients": codec})
            arms[name] = lambda config=config, micro=micro: step(config, micro, WAN)
        runs = interleaved(scale.of(3, 1), arms)
    found = {
        name: figure([one[name]["seconds"] / one[name]["formula"] for one in runs])
        | {part: figure([one[name][part] for one in runs]) for part in runs[0][name]}
        for name in arms
    }
    worst = max((found[name] for name in list(ARMS)[:2]), key=lambda one: one["value"])
    naive = found["naive (fp32, one piece)"]["seconds"]["value"]
    return {
        "value": worst["value"],
        "spread": worst["spread"],
        "arms": found,
        "times_faster_than_naive": {name: naive / one["seconds"]["value"] for name, one in found.items()},
        "shaping": "token bucket and delay of a proxy in user space, each direction by itself",
    }


def step(config: RunConfig, micro: int, network: Network) -> dict[str, float]:
    """One run over the network: seconds a step, and what the formula makes of its CPU time and bytes."""
    with ExitStack() as stack:
        records = run_split(config, through=lambda address: stack.enter_context(slowed(network, address)))
    cpu = [record.cpu(WARM) for record in records.values()]
    last = records[PARTY].marks[-1]
    transfer = max(last.uplink, last.downlink) / network.bandwidth
    both = (last.uplink + last.downlink) / network.bandwidth
    fill = (sum(cpu) + both) / micro + CROSSINGS * network.delay
    return {
        "seconds": records[PARTY].wall(WARM),
        "formula": max(*cpu, transfer) + fill,
        "compute": max(cpu),
        "transfer": transfer,
        "fill": fill,
    }


def rows(result: Mapping[str, Any]) -> Table:
    """Step time against the formula."""
    body = [
        (name, show(one, 3), *(show(one[part], 3) for part in ("seconds", "formula", "compute", "transfer", "fill")))
        for name, one in result["arms"].items()
    ]
    columns = ("", "measured ÷ formula", "s/step", "formula s", "compute s", "transfer s", "fill s")
    note = "target: 1.15 at most, pipelined; shaped by a proxy in user space"
    return Table("wan: 50 Mbit/s, 40 ms round trip", columns, body, note)
