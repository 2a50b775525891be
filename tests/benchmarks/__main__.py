"""`python -m tests.benchmarks [KEY ...] [--quick]`: measure, print tables, write bench-results/summary.json."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table as RichTable

from tests.benchmarks.frame import KEYS, Scale, Table, available, benchmark
from tests.benchmarks.machine import machine
from tests.benchmarks.summary import TARGET, merge


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; returns 1 when one of them failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("keys", nargs="*", metavar="KEY", help=f"which: {', '.join(KEYS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: a first look, no figure to quote")
    options = parser.parse_args(arguments)
    known = available()
    unknown = [key for key in options.keys if key not in known]
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}; there are: {', '.join(known)}")
    torch.set_num_threads(1)
    console, place = Console(), machine()
    console.print(", ".join(f"{name} {value}" for name, value in place.items()), style="dim")
    chosen = [key for key in known if key in options.keys] if options.keys else known
    failed = [key for key in chosen if not _run(key, Scale(options.quick), place, console)]
    console.print(f"written: {TARGET}" if len(failed) < len(chosen) else "nothing was measured")
    if failed:
        console.print(f"failed: {', '.join(failed)}", style="bold red")
    return 1 if failed else 0


def _run(key: str, scale: Scale, place: dict[str, Any], console: Console) -> bool:
    """Measure one, print it, keep it; whether that went well."""
    start = perf_counter()
    try:
        module = benchmark(key)
        result = module.measure(scale)
        table = module.rows(result)
    except Exception:  # whatever it was, the others go on
        console.print(f"{key} failed", style="bold red")
        console.print_exception()
        return False
    seconds = perf_counter() - start
    show_table(console, table, seconds)
    merge(TARGET, key, {**result, "seconds": round(seconds, 1), "quick": scale.quick}, place)
    return True


def show_table(console: Console, table: Table, seconds: float) -> None:
    """Print a result."""
    title = f"{table.title} ({seconds:.0f} s)"
    # without frames, so that the widest table fits into 80 columns
    shown = RichTable(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for place, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if place == 0 else "right", no_wrap=place == 0)
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
    if table.note:
        console.print(table.note, style="dim")
    console.print()


if __name__ == "__main__":
    sys.exit(main())
