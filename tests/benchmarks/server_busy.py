"""server_busy: N clients on one server half, whose body is nearly the whole model: is it ever idle?

The client holds embedding and output head alone. Busy is the part of the wall time in which the server's own thread
computes (forward, backward, update, encoding), from the second counted step on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.halves import SERVER, run_split
from tests.benchmarks.models import run_config, saved_model
from tests.benchmarks.speed import WARM

CLIENTS = (1, 2, 4, 8)
LAYERS, WIDTH, VOCABULARY = 6, 512, 512
ROWS, LENGTH, MICRO = 4, 64, 4
APART = ("wait", "send")


def measure(scale: Scale) -> dict[str, Any]:
    """Clients → share of the time; `value` is the least of them."""
    with saved_model(scale.of(WIDTH, 256), LAYERS, vocabulary=VOCABULARY) as folder:
        config = run_config(
            folder,
            steps=WARM + scale.of(5, 3),
            rows=ROWS,
            length=LENGTH,
            split={"head_layers": 0, "tail_layers": 0},
            training={"micro_batches": MICRO},
        )
        arms = {str(count): lambda count=count: run_split(config, parties=count)[SERVER] for count in CLIENTS}
        runs = interleaved(scale.of(2, 1), arms)
    shares = {}
    for name in arms:
        records = [one[name] for one in runs]
        busy = [
            sum(seconds for stage, seconds in record.stage(WARM).items() if stage not in APART) / record.wall(WARM)
            for record in records
        ]
        shares[name] = figure(busy, step_seconds=figure([record.wall(WARM) for record in records]))
    return {**min(shares.values(), key=lambda one: one["value"]), "clients": shares, "micro_batches": MICRO}


def rows(result: Mapping[str, Any]) -> Table:
    """Share by number of clients."""
    body = [(name, show(share, 3), show(share["step_seconds"], 3)) for name, share in result["clients"].items()]
    return Table(
        "server_busy: part of the time in which the server half computes",
        ("clients", "busy", "s/step"),
        body,
        "target: 0.9",
    )
