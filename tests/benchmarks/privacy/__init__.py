"""privacy: what each defence costs and what is read through it: the frontier, cell by cell.

A cell is one configuration with one seed: how much of the gain of fine-tuning it keeps, and what an audit's portfolio
reads of it, by channel, beside the ceiling where there is one. Cells are kept as they are measured
(`bench-results/privacy-cells.jsonl`), so that a run that was ended goes on where it was; a cell whose setting or
portfolio has changed is measured again.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from rich.console import Console

from tests.benchmarks import planted
from tests.benchmarks.frame import Scale, Table
from tests.benchmarks.privacy.cell import Cell, measured
from tests.benchmarks.privacy.models import prepared
from tests.benchmarks.privacy.planted_values import secret_cells
from tests.benchmarks.privacy.settings import Setting, settings
from tests.benchmarks.privacy.summary import summed_up
from tests.benchmarks.privacy.table import table

KEPT = Path("bench-results") / "privacy-cells.jsonl"


def measure(scale: Scale) -> dict[str, Any]:
    """Every cell that isn't there yet, two at a time, then what they amount to."""
    chosen = settings(scale)
    prepared({setting.model for setting in chosen})
    kept = {cell.key: cell for cell in _kept()}
    missing = [setting for setting in chosen if setting.key(scale) not in kept]
    for cell in _all_measured(missing, scale):
        kept[cell.key] = cell
    cells = [kept[setting.key(scale)] for setting in chosen if setting.key(scale) in kept]
    found = summed_up(cells)
    leaks = planted.measure(scale)["by_leak"]
    found["controls"]["planted"] = {leak: one["found"] / one["planted"] for leak, one in leaks.items()}
    return {**found, "secrets": secret_cells(scale)}


def rows(result: Mapping[str, Any]) -> Table:
    """One line a defence, strength and channel."""
    return table(result)


def _kept() -> Iterator[Cell]:
    if KEPT.is_file():
        lines = KEPT.read_text(encoding="utf-8").splitlines()
        yield from (Cell.read(line) for line in lines if line.endswith("}"))  # a killed run may leave half a line


def _all_measured(missing: Sequence[Setting], scale: Scale) -> Iterator[Cell]:
    """Each cell in a process of its own, as many at once as there are cores; it is kept before the next is told."""
    console, at_once = Console(stderr=True), min(2, os.cpu_count() or 1)
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(at_once, mp_context=fresh, max_tasks_per_child=1) as pool:
        waiting = {pool.submit(measured, setting, scale): setting for setting in missing}
        for done, future in enumerate(as_completed(waiting), start=1):
            setting = waiting[future]
            try:
                cell = future.result()
            except Exception as error:  # the others go on; what failed is told and is missing
                console.print(f"{done} of {len(missing)}: {setting} failed: {error!r}", style="bold red", markup=False)
                continue
            with KEPT.open("a", encoding="utf-8") as file:
                file.write(("" if _ends_whole() else "\n") + cell.line() + "\n")
            console.print(f"{done} of {len(missing)}: {setting}: {cell.words}", style="dim", markup=False)
            yield cell


def _ends_whole() -> bool:
    with KEPT.open("rb") as file:
        return not file.seek(0, os.SEEK_END) or (file.seek(-1, os.SEEK_END) >= 0 and file.read(1) == b"\n")
