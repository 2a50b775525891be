"""A party's rows through a real split training whose frames are recorded, and what each crossing really was (torch).

The training is the configuration's own: its cut, adapters, defences, codecs, batches. Only its length follows from the
rows, and one party takes part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch

from splitcore.config import RunConfig
from splitcore.data.batches import Batch
from splitcore.launch.api import fine_tune
from splitcore.run.plan import RunPlan, run_plan
from splitcore.run.settings import HalfSettings
from splitcore.training.party_rows import PartyRows

PARTY = "audited"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One crossing's row: token ids and labels (N,), and its number among the captured rows."""

    ids_N: torch.Tensor
    labels_N: torch.Tensor
    number: int


@dataclass(frozen=True)
class Capture:
    """A recording, and the rows whose crossings it holds: (step, micro-batch, place) → row."""

    config: RunConfig
    recording: Path
    rows: dict[tuple[int, int, int], Row]


def capture(config: RunConfig, rows: Rows, folder: Path, *, epochs: int) -> Capture:
    """Train `epochs` times over `rows` and record it in `folder`. Raises AppError as `fine_tune` does."""
    recorded = recorded_config(config, len(rows), epochs)
    fine_tune(recorded, {PARTY: rows}, out=folder / "run", capture=folder)
    return Capture(recorded, folder / f"{PARTY}.frames", _true_rows(recorded, rows))


def recorded_config(config: RunConfig, rows: int, epochs: int) -> RunConfig:
    """The configuration of a training that sees each of so many rows `epochs` times, and measures nothing."""
    batch = min(config.training.batch_size, rows)
    micro_batches = max(n for n in range(1, config.training.micro_batches + 1) if not batch % n)
    training = config.training.model_copy(
        update={
            "batch_size": batch,
            "micro_batches": micro_batches,
            "steps": ceil(rows * epochs / batch),
            "epochs": None,
            "eval_every": 0,
        }
    )
    return config.model_copy(update={"training": training, "parties": {}})


def plan_of(config: RunConfig) -> RunPlan:
    """The plan of such a training, from public facts. Raises AppError CL-1002, 1101, 1103.

    What is done with a recording is done on the CPU, whatever the training ran on.
    """
    return run_plan(HalfSettings(config, [PARTY], config.model.name_or_path, Path(), device="cpu"))


def _true_rows(config: RunConfig, rows: Rows) -> dict[tuple[int, int, int], Row]:
    party_rows = PartyRows(plan_of(config), PARTY, rows, ())
    return {
        (step, micro, place): row
        for step in range(config.training.steps or 0)
        for micro, batch in enumerate(party_rows.step(step))
        for place, row in enumerate(_rows_of(batch))
    }


def _rows_of(batch: Batch) -> Iterator[Row]:
    for ids_L, labels_L, mask_L, number in zip(
        batch.ids_BL, batch.labels_BL, batch.mask_BL, batch.rows or (), strict=True
    ):
        real_L = mask_L.bool()
        yield Row(ids_L[real_L], labels_L[real_L], number)
