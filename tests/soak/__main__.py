"""`python -m tests.soak [--minutes N]`: the soak on its own stack; 1 where a run is lost or something has grown."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests.benchmarks.__main__ import show_table
from tests.benchmarks.frame import Table
from tests.benchmarks.machine import machine
from tests.benchmarks.summary import TARGET, merge
from tests.soak.living import Change
from tests.soak.soak import Outcome, Plan, soak
from tests.stack import running_stack

MIB = 1024 * 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it, print it, keep it beside the benchmarks' results."""
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0, help="how long (default: 20); 3 is a useful first look")
    parser.add_argument("--every", type=float, default=20.0, help="seconds between two kills (default: 20)")
    options = parser.parse_args(arguments)
    if not 1 <= options.minutes <= 24 * 60 or options.every < 5:
        parser.error("--minutes takes 1 to 1440, --every 5 or more")
    console, start, place = Console(), time.monotonic(), machine()

    def progress(line: str) -> None:
        console.print(f"{time.monotonic() - start:6.0f} s  {line}", style="dim", highlight=False)

    with tempfile.TemporaryDirectory() as folder, running_stack(Path(folder) / "groups") as stack:
        progress("the stack is up")
        outcome = soak(stack, Plan(seconds=options.minutes * 60, every=options.every), progress)
    show_table(console, table(outcome), outcome.seconds)
    faults = outcome.faults()
    for fault in faults:
        console.print(fault, style="bold red")
    merge(TARGET, "soak", {**asdict(outcome), "faults": faults, "minutes": options.minutes}, place)
    return 1 if faults else 0


def table(outcome: Outcome) -> Table:
    """Each process at rest, first and last."""
    deaths = ", ".join(f"{name} {count}" for name, count in outcome.kills.items())
    return Table(
        f"{outcome.runs} runs, {sum(outcome.kills.values())} kills, {outcome.recoveries} recoveries, no run lost",
        ("", "MiB", "then", "ratio", "descriptors", "then", "ratio"),
        [_line(change) for change in outcome.changes],
        f"killed: {deaths}",
    )


def _line(change: Change) -> tuple[str, ...]:
    first, last = change.first, change.last
    return (
        change.name,
        f"{first.resident / MIB:.0f}",
        f"{last.resident / MIB:.0f}",
        f"{change.memory:.3f}",
        str(first.descriptors),
        str(last.descriptors),
        f"{change.descriptors:.3f}",
    )


if __name__ == "__main__":
    sys.exit(main())
