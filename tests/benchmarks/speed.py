"""What the speed benchmarks share: one model, one batch, the split and the unsplit run of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitcore.config import RunConfig
from tests.benchmarks.frame import Scale, figure
from tests.benchmarks.halves import SERVER, Record, run_split, run_unsplit
from tests.benchmarks.models import run_config, saved_model

WARM = 2  # first steps of every run, not counted
PARTY = "p0"


@dataclass(frozen=True)
class Bench:
    """The benchmark model in its folder, and the size of a step."""

    folder: Path
    layers: int
    rows: int
    length: int
    steps: int

    def config(self, head: int, tail: int, micro: int = 1, **sections: Any) -> RunConfig:
        """A run with that cut and number of micro-batches, over a bf16 wire."""
        sections["training"] = {"micro_batches": micro, **sections.get("training", {})}
        sections["split"] = {"head_layers": head, "tail_layers": tail, **sections.get("split", {})}
        return run_config(self.folder, steps=WARM + self.steps, rows=self.rows, length=self.length, **sections)

    def describe(self) -> dict[str, Any]:
        """What was trained."""
        return {"layers": self.layers, "rows": self.rows, "length": self.length, "steps": self.steps}


@contextmanager
def bench(scale: Scale, *, width: int = 512, layers: int = 9) -> Iterator[Bench]:
    """The benchmark model: 9 layers 512 wide, 8 rows of 128 tokens (quick: 256 wide, 64 tokens)."""
    with saved_model(scale.of(width, 256), layers) as folder:
        yield Bench(folder, layers, rows=8, length=scale.of(128, 64), steps=scale.of(4, 3))


@dataclass(frozen=True)
class Halves:
    """One split run in figures: seconds a step."""

    wall: float
    cpu: dict[str, float]  # process → CPU
    aside: dict[str, float]  # of it, threads of the wire
    stages: dict[str, dict[str, float]]

    @property
    def bound(self) -> float:
        """How much faster than one process two could be: total CPU ÷ CPU of the busier side."""
        return sum(self.cpu.values()) / max(self.cpu.values())


def split(config: RunConfig, **how: Any) -> Halves:
    """Run it as processes."""
    records: Mapping[str, Record] = run_split(config, **how)
    return Halves(
        records[PARTY].wall(WARM),
        {name: record.cpu(WARM) for name, record in records.items()},
        {name: record.aside(WARM) for name, record in records.items()},
        {name: record.stage(WARM) for name, record in records.items()},
    )


@dataclass(frozen=True)
class Whole:
    """One unsplit run in figures: seconds a step."""

    wall: float
    cpu: float


def unsplit(config: RunConfig, *, threads: int = 1) -> Whole:
    """Run it in one process."""
    record = run_unsplit(config, threads=threads)
    return Whole(record.wall(WARM), record.cpu(WARM))


def speed_figure(runs: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Unsplit wall ÷ split wall within each round, and the seconds behind it."""
    return figure(
        [one["unsplit"].wall / one[key].wall for one in runs],
        split_seconds=figure([one[key].wall for one in runs]),
        unsplit_seconds=figure([one["unsplit"].wall for one in runs]),
        client_cpu=figure([one[key].cpu[PARTY] for one in runs]),
        server_cpu=figure([one[key].cpu[SERVER] for one in runs]),
        cpu_ratio=figure([sum(one[key].cpu.values()) / one["unsplit"].cpu for one in runs]),
        wire_cpu=figure([sum(one[key].aside.values()) for one in runs]),
    )
