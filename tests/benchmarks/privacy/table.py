"""The frontier as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.benchmarks.frame import Table


def table(result: Mapping[str, Any]) -> Table:
    """One line a defence, strength and channel."""
    return Table(
        "privacy: what is kept of the gain, and what the portfolio reads, by channel",
        ("model", "defence", "", "channel", "gain\nkept", "read", "95 %", "other\nrecords", "ceiling", "MB", "s"),
        [_line(one) for one in result["cells"]],
        "read: tokens at their place, by the best attack of the portfolio; 95 %: over all seeds; other records: the "
        "same attack's guesses on others; ceiling: of whoever guesses as much as that; none where nothing bounds it",
    )


def _line(one: Mapping[str, Any]) -> tuple[str, ...]:
    read, null, ceiling, kept = one["recovery"], one["null"], one["ceiling"], one["gain_kept"]
    return (
        one["model"],
        one["defence"],
        one["strength"],
        one["channel"],
        f"{kept:.0%}" if kept is not None else "",
        f"{read['value']:.1%}" + ("" if one["valid"] else " INVALID"),
        f"{read['low']:.1%} to {read['high']:.1%}",
        f"{null['value']:.1%}" if null else "",
        f"{ceiling:.1%}" if ceiling is not None else "none",
        f"{one['bytes'] / 1e6:.1f}",
        f"{one['seconds']:.0f}",
    )
