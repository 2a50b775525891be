"""Compare the schedules at equal rows: `python -m docs.measure_schedules` writes docs/methods/schedules-compared.md.

Two data organisations of different domains, the demo's base model and rows. Each measures its own held-out rows with
the adapter that it ends up with.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from demo.datasets import domain_rows
from splitcore import RunConfig, fine_tune
from splitcore.control.events import EvaluationFinished, Event

TARGET = Path(__file__).parent / "methods" / "schedules-compared.md"
MODEL = Path(__file__).parents[1] / "demo" / "base_model"
PARTIES = ("clinic", "bank")
STEPS, SEEDS, HELD_OUT = 16, (7, 8), 20
CASES: tuple[tuple[str, dict[str, Any], int], ...] = (  # name, schedule, steps for the same rows of every party
    ("parallel, aggregate_every 1", {}, STEPS),
    ("parallel, aggregate_every 4", {"aggregate_every": 4}, STEPS),
    ("sequential, turns of 4, relay", {"mode": "sequential", "turn_steps": 4}, 2 * STEPS),
    ("splitfed_v1, rounds of 4", {"mode": "splitfed_v1", "aggregate_every": 4}, STEPS),
    ("personalised", {"mode": "personalised"}, STEPS),
)
INTRODUCTION = f"""# The schedules compared

<!-- Written by `OMP_NUM_THREADS=1 python -m docs.measure_schedules`. Run it again to compare. -->

Two data organisations of different domains (clinic notes, bank tickets), the demo's base model and rows, U-shape with
2 + 2 layers, bf16 on the wire, AdamW at a rate of 0.003, 8 rows of each organisation in each of its {STEPS} steps:
every schedule sees the same rows. *Optimiser steps* counts those of the body's adapter; `sequential` has twice as
many, of half the size, which favours it in a run as short as this one. Held-out loss is each organisation's own, on
{HELD_OUT} rows, with the adapter that it ends up with: mean over the seeds {" and ".join(map(str, SEEDS))}, and their
range. On a CPU, one thread, torch {torch.__version__.split("+")[0]}.

| schedule | optimiser steps | clinic | range | bank | range | bytes, both ways |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
"""


def one(schedule: dict[str, Any], steps: int, seed: int, parties: tuple[str, ...]) -> tuple[dict[str, float], int]:
    """Held-out loss of each party at the end, and the bytes of the run."""
    training = {"steps": steps, "batch_size": 8, "learning_rate": 3e-3, "max_length": 96, "eval_every": 0, "seed": seed}
    config = RunConfig.parse({"model": {"name_or_path": str(MODEL)}, "training": training, "schedule": schedule})
    rows = {name: domain_rows(name) for name in parties}
    losses: dict[str, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, EvaluationFinished):
            losses[event.party] = event.loss

    with tempfile.TemporaryDirectory() as folder:
        result = fine_tune(
            config,
            {name: train for name, (train, _) in rows.items()},
            out=folder,
            eval_rows={name: held[:HELD_OUT] for name, (_, held) in rows.items()},
            on_event=note,
        )
    return losses, sum(result.bytes.values())


def line(name: str, schedule: dict[str, Any], steps: int) -> str:
    """A row of the table."""
    runs = [one(schedule, steps, seed, PARTIES) for seed in SEEDS]
    cells = [name, str(steps)]
    for party in PARTIES:
        found = [losses[party] for losses, _ in runs]
        cells += [f"{sum(found) / len(found):.3f}", f"{min(found):.3f}–{max(found):.3f}"]
    sys.stderr.write(f"{name} is measured\n")
    return f"| {' | '.join([*cells, f'{runs[0][1] / 1e6:.0f} MB'])} |\n"


def alone() -> str:
    """Each organisation by itself."""
    runs = {party: [one({}, STEPS, seed, (party,)) for seed in SEEDS] for party in PARTIES}
    cells = ["each alone", str(STEPS)]
    for party, found in runs.items():
        losses = [measured[party] for measured, _ in found]
        cells += [f"{sum(losses) / len(losses):.3f}", f"{min(losses):.3f}–{max(losses):.3f}"]
    return f"| {' | '.join([*cells, f'{sum(found[0][1] for found in runs.values()) / 1e6:.0f} MB'])} |\n"


def main() -> None:
    """Write the page."""
    TARGET.write_text(INTRODUCTION + alone() + "".join(line(*case) for case in CASES), encoding="utf-8")


if __name__ == "__main__":
    main()
