"""client_peak: memory of a client half with 2 + 2 of 24 layers, against training the whole model.

Fresh processes; what each held when it began (the libraries) is subtracted from its largest resident size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.frame import Scale, Table, figure, interleaved, show
from tests.benchmarks.halves import SERVER, Record, run_split, run_unsplit
from tests.benchmarks.models import run_config, saved_model
from tests.benchmarks.speed import PARTY

LAYERS, WIDTH = 24, 384
ROWS, LENGTH = 4, 128
MB = 1e6


def measure(scale: Scale) -> dict[str, Any]:
    """Peak of the client half ÷ peak of the unsplit run, holding activations and recomputing them."""
    with saved_model(scale.of(WIDTH, 256), LAYERS) as folder:

        def peaks(recompute: bool) -> dict[str, int]:
            config = run_config(
                folder, steps=2, rows=ROWS, length=LENGTH, training={"gradient_checkpointing": recompute}
            )
            halves = run_split(config)
            return {
                "whole": own(run_unsplit(config)),
                "client": own(halves[PARTY]),
                "server": own(halves[SERVER]),
            }

        runs = interleaved(scale.of(2, 1), {"held": lambda: peaks(False), "recomputed": lambda: peaks(True)})
    found = {
        name: figure(
            [one[name]["client"] / one[name]["whole"] for one in runs],
            **{f"{side}_mb": figure([one[name][side] / MB for one in runs]) for side in ("whole", "client", "server")},
        )
        for name in ("held", "recomputed")
    }
    return {**found["held"], "recomputed": found["recomputed"], "layers": LAYERS, "cut": "2+2"}


def own(record: Record) -> int:
    """Bytes beyond what the process held when it began."""
    return record.peak - record.baseline


def rows(result: Mapping[str, Any]) -> Table:
    """Held and recomputed."""
    body = [
        (name, show(one, 3), *(show(one[f"{side}_mb"], 0) for side in ("client", "server", "whole")))
        for name, one in (("held", result), ("recomputed", result["recomputed"]))
    ]
    columns = ("activations", "client ÷ whole", "client MB", "server MB", "whole model MB")
    note = "target: 0.3 at most, with activations held; the second row compares two runs that both recompute"
    return Table("client_peak: 2 + 2 of 24 layers at the client", columns, body, note)
