"""What every benchmark shares: the list of them, their size, interleaved runs, figures with their spread, a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any, Protocol, cast

KEYS = (
    "sequential",
    "pipeline",
    "two_cores",
    "server_busy",
    "memory_8_clients",
    "client_peak",
    "wire",
    "wan",
    "planner",
    "codecs",
    "quality",
    "live_feed",
    "idle_agents",
    "stop",
    "stragglers",
    "grouping",
    "masked_sums",
    "recovery",
    "privacy",
    "planted",
)


@dataclass(frozen=True)
class Scale:
    """How much is measured: everything, or a first look."""

    quick: bool = False

    def of(self, full: int, quick: int) -> int:
        """A number of runs, steps or rows."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Table:
    """What a benchmark prints."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = field(default="")


class Benchmark(Protocol):
    """A module of this package."""

    def measure(self, scale: Scale) -> dict[str, Any]:
        """Measure; JSON-able."""

    def rows(self, result: Mapping[str, Any]) -> Table:
        """The result for people."""


def figure(runs: Sequence[float], **more: Any) -> dict[str, Any]:
    """The median of some runs, their spread (highest less lowest) and the runs themselves."""
    if not runs:
        raise ValueError("a figure needs at least one run")
    return {"value": median(runs), "spread": max(runs) - min(runs), "runs": list(runs), **more}


def interleaved(rounds: int, arms: Mapping[str, Callable[[], Any]]) -> list[dict[str, Any]]:
    """Run every arm once a round, each other round backwards (A B, B A, ...), so that a drift of the machine cancels.

    Returns the rounds, each arm → what it returned.
    """
    found: list[dict[str, Any]] = []
    for number in range(rounds):
        names = list(arms) if number % 2 == 0 else list(arms)[::-1]
        outcome = {name: arms[name]() for name in names}
        found.append({name: outcome[name] for name in arms})
    return found


def ratios(rounds: Sequence[Mapping[str, float]], above: str, below: str) -> list[float]:
    """`above` ÷ `below` within each round."""
    return [one[above] / one[below] for one in rounds]


def show(value: Mapping[str, Any], digits: int = 2, unit: str = "") -> str:
    """A figure with its spread, for a table."""
    return f"{value['value']:.{digits}f}{unit} ± {value['spread'] / 2:.{digits}f}"


def available() -> list[str]:
    """The benchmarks that this checkout has, in the order of KEYS."""
    return [key for key in KEYS if find_spec(f"{__package__}.{key}") is not None]


def benchmark(key: str) -> Benchmark:
    """The module of a key."""
    return cast(Benchmark, import_module(f"{__package__}.{key}"))
