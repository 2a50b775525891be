"""A party's rows through a real split training whose frames are recorded, and what each crossing really was (torch).

The training is the configuration's own: its cut, adapters, defences, codecs, batches. Only its length follows from the
rows, and one party takes part in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import torch

from splitcore.audit.template_tokens import template_places
from splitcore.config import RunConfig
from splitcore.data.batches import Batch
from splitcore.launch.api import fine_tune
from splitcore.run.plan import RunPlan, run_plan
from splitcore.run.settings import HalfSettings
from splitcore.training.party_rows import PartyRows

PARTY, OTHER = "audited", "another"
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """One crossing's row: token ids and labels (N,), and its number among the captured rows.

    template_N: which tokens its chat template puts there; None where it has none.
    """

    ids_N: torch.Tensor
    labels_N: torch.Tensor
    number: int
    template_N: torch.Tensor | None = None


@dataclass(frozen=True)
class Capture:
    """A recording, and the rows whose crossings it holds: (step, micro-batch, place) → row.

    parties: of the training, the recorded one first.
    """

    config: RunConfig
    recording: Path
    rows: dict[tuple[int, int, int], Row]
    parties: tuple[str, ...] = (PARTY,)

    @property
    def plan(self) -> RunPlan:
        """The training's, from public facts."""
        return plan_of(self.config, self.parties)


def capture(config: RunConfig, rows: Rows, folder: Path, *, epochs: int, others: Rows = ()) -> Capture:
    """Train `epochs` times over `rows` and record it in `folder`. Raises AppError as `fine_tune` does.

    others: rows of a second party, which shares the ends with the recorded one.
    """
    recorded = recorded_config(config, len(rows), epochs)
    shards = {PARTY: rows, **({OTHER: others} if others else {})}
    fine_tune(recorded, shards, out=folder / "run", capture=folder)
    parties = tuple(shards)
    return Capture(recorded, folder / f"{PARTY}.frames", _true_rows(recorded, rows, parties), parties)


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


def plan_of(config: RunConfig, parties: Sequence[str] = (PARTY,)) -> RunPlan:
    """The plan of such a training, from public facts. Raises AppError CL-1002, 1101, 1103.

    What is done with a recording is done on the CPU, whatever the training ran on.
    """
    return run_plan(HalfSettings(config, list(parties), config.model.name_or_path, Path(), device="cpu"))


def _true_rows(config: RunConfig, rows: Rows, parties: Sequence[str]) -> dict[tuple[int, int, int], Row]:
    party_rows = PartyRows(plan_of(config, parties), PARTY, rows, ())
    templates = _templates(config, party_rows, rows)
    return {
        (step, micro, place): replace(row, template_N=templates.get(row.number))
        for step in range(config.training.steps or 0)
        for micro, batch in enumerate(party_rows.step(step))
        for place, row in enumerate(_rows_of(batch))
    }


def _templates(config: RunConfig, party_rows: PartyRows, rows: Rows) -> dict[int, torch.Tensor]:
    """Row number → its template's tokens, where rows have a chat template. Every row must have a target."""
    if config.data.template != "chat":
        return {}
    return {
        number: torch.tensor(template_places(raw, party_rows.tokenizer, config.data, row.ids))
        for number, (raw, row) in enumerate(zip(rows, party_rows, strict=True))
    }


def _rows_of(batch: Batch) -> Iterator[Row]:
    for ids_L, labels_L, mask_L, number in zip(
        batch.ids_BL, batch.labels_BL, batch.mask_BL, batch.rows or (), strict=True
    ):
        real_L = mask_L.bool()
        yield Row(ids_L[real_L], labels_L[real_L], number)
