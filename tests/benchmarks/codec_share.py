"""How much of the computing time encoding and decoding take, on layers of the size that people fine-tune.

What crosses grows with the width, what is computed with its square: a narrow benchmark model shows a share that no one
would see. The layers here are 24 of width 1024, as in models of half a billion parameters.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import splitcore
from splitcore.control.events import Event, StepFinished
from tests.benchmarks.frame import Scale, figure
from tests.benchmarks.models import full_rows, run_config, saved_model

WARM, STEPS = 2, 4  # the first steps are not counted, and are an epoch: later ones send changes
ROWS, LENGTH = 2, 128
WORK = ("head_forward", "head_backward", "tail", "body_forward", "body_backward", "update", "encode", "decode")


def share(spent: Mapping[str, float]) -> float:
    """Encoding's and decoding's part of the seconds by stage of both halves."""
    return (spent["encode"] + spent["decode"]) / sum(spent[stage] for stage in WORK)


def shares(scale: Scale, wires: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Each wire's share, with the first and the last two layers at the client; each counted step is a figure."""
    width, layers = scale.of(1024, 256), scale.of(24, 6)
    found: dict[str, Any] = {"model": f"{layers} layers of width {width}"}
    with saved_model(width, layers) as folder, tempfile.TemporaryDirectory(prefix="cutlayer-bench-") as out:
        rows = full_rows(WARM * ROWS, LENGTH)
        for name, wire in wires.items():
            steps: dict[int, dict[str, float]] = {}

            def note(event: Event, steps: dict[int, dict[str, float]] = steps) -> None:
                if isinstance(event, StepFinished):
                    spent = steps.setdefault(event.step, dict.fromkeys(WORK, 0.0))
                    spent.update({stage: spent[stage] + event.seconds.get(stage, 0.0) for stage in WORK})

            config = run_config(
                folder,
                steps=WARM + STEPS,
                rows=ROWS,
                length=LENGTH,
                split={"head_layers": 2, "tail_layers": 2},
                wire=dict(wire),
            )
            splitcore.fine_tune(config, {"a": rows}, out=f"{out}/{name}", on_event=note)
            found[name] = figure([share(spent) for step, spent in sorted(steps.items())][WARM:])
    return found
