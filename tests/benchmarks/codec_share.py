"""How much of the computing time encoding and decoding take, on the model of the speed benchmarks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import splitcore
from splitcore.training.events import Event, StepFinished
from tests.benchmarks.frame import Scale, figure
from tests.benchmarks.models import full_rows
from tests.benchmarks.speed import WARM, bench

WORK = ("head_forward", "head_backward", "tail", "body_forward", "body_backward", "update", "encode", "decode")


def share(spent: Mapping[str, float]) -> float:
    """Encoding's and decoding's part of the seconds by stage of both halves."""
    return (spent["encode"] + spent["decode"]) / sum(spent[stage] for stage in WORK)


def shares(scale: Scale, wires: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Each wire's share: 2 + 2 of 9 layers at the client, every step after the first two a figure of its own."""
    found: dict[str, Any] = {}
    with bench(scale) as model, tempfile.TemporaryDirectory(prefix="cutlayer-bench-") as out:
        rows = full_rows(WARM * model.rows, model.length)  # an epoch of two steps: later ones send changes
        for name, wire in wires.items():
            steps: dict[int, dict[str, float]] = {}

            def note(event: Event, steps: dict[int, dict[str, float]] = steps) -> None:
                if isinstance(event, StepFinished):
                    spent = steps.setdefault(event.step, dict.fromkeys(WORK, 0.0))
                    spent.update({stage: spent[stage] + event.seconds.get(stage, 0.0) for stage in WORK})

            splitcore.fine_tune(model.config(2, 2, wire=dict(wire)), {"a": rows}, out=f"{out}/{name}", on_event=note)
            found[name] = figure([share(spent) for step, spent in sorted(steps.items())][WARM:])
    return found
