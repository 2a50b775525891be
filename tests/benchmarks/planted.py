"""How often an audit's detectors find a planted leak, and how often one that isn't there.

Each capture is a training of its own, with rows, order and noise of its own. The figures are committed in
`splitcore/audit/portfolios/planted.yaml`, which every audit's result shows.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from splitcore.audit.leaks.found import LEAKS, Leak
from splitcore.audit.leaks.registry import looked_for
from splitcore.audit.tests.planted import share_of, taken_with
from splitcore.models.tests.tiny import save_model
from tests.benchmarks.frame import Scale, Table


def measure(scale: Scale) -> dict[str, Any]:
    """Found and planted per leak, and the clean captures in which something was found."""
    planted, clean = scale.of(60, 7), scale.of(300, 7)
    kinds = list(LEAKS)
    found = {leak: [0, 0] for leak in kinds}
    with tempfile.TemporaryDirectory(prefix="cutlayer-bench-") as folder:
        model = save_model(Path(folder) / "model", "llama")
        for number in range(planted):
            leak, draw = kinds[number % len(kinds)], number // len(kinds)
            share = share_of(draw, -(-planted // len(kinds)))
            found[leak][0] += leak in _seen(model, folder, leak, share, seed=number)
            found[leak][1] += 1
        alarms = [_seen(model, folder, None, 0.0, seed=planted + number) for number in range(clean)]
    return {
        "planted": planted,
        "found": sum(hits for hits, _ in found.values()),
        "by_leak": {leak: {"found": hits, "planted": of} for leak, (hits, of) in found.items()},
        "clean": clean,
        "alarms": sum(map(bool, alarms)),
        "alarmed_by": sorted({leak for seen in alarms for leak in seen}),
    }


def rows(result: Mapping[str, Any]) -> Table:
    """One line per leak."""
    lines = [[LEAKS[leak], str(one["planted"]), str(one["found"])] for leak, one in result["by_leak"].items()]
    return Table(
        "Planted leaks",
        ["leak", "planted", "found"],
        [*lines, ["none", str(result["clean"]), str(result["alarms"])]],
        "A row that only some places have is planted at 0.5 to 5 % of them.",
    )


def _seen(model: Path, folder: str, leak: Leak | None, share: float, *, seed: int) -> set[Leak]:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        evidence = taken_with(model, Path(place), leak, share=share, seed=seed)
    return {one.leak for one in looked_for(evidence) if one.outcome == "found"}
