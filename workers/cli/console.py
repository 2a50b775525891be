"""How the command prints: plain and aligned, colours only on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from splitcore.errors import AppError
from workers.contracts import Check

# Control characters but tab and line end, half characters, and marks that turn the direction of what is read.
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")

_ID = re.compile(r"[a-z]{3}_[0-9a-z]{16}")
_MARK = "\N{REPLACEMENT CHARACTER}"


class PlainConsole(Console):
    """A console on which no text of a hub or a file commands the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Everything that is printed passes here, before colours become sequences of the terminal."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(_COMMANDS.sub(_MARK, segment.text), segment.style)


out = PlainConsole(highlight=False, soft_wrap=True)
err = PlainConsole(stderr=True, highlight=False, soft_wrap=True)
_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red"), "pending": ("…", "cyan")}


def show_error(error: AppError) -> None:
    """Code, what happened, what to do; further fields of a configuration that are wrong, one a line."""
    err.print(Text(f"{error.code}  {error.message}", style="bold red"))
    for item in error.details.get("fields", [])[1:]:
        err.print(Text(f"         {item['field']}: {item['message']}", style="red"))
    if error.remedy:
        err.print(Text(f"         {error.remedy}"))


def show_json(data: Any) -> None:
    """Machine-readable output, one document."""
    out.print(json.dumps(data, ensure_ascii=False, indent=2, default=str), markup=False)


def show_checks(checks: Iterable[Check]) -> None:
    """A checklist."""
    for check in checks:
        mark, colour = _MARKS[check.status]
        code = f" ({check.code})" if check.code else ""
        out.print(Text.assemble((f"{mark} ", colour), (check.name, "bold"), f"  {check.detail}{code}"))
        if check.remedy and check.status != "ok":
            out.print(Text(f"  → {check.remedy}"))


def show_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Rows under headings."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = [[_COMMANDS.sub(_MARK, str(cell)) for cell in row] for row in rows]  # cleaned, so that widths are right
    for place, column in enumerate(columns):
        whole = any(_ID.fullmatch(row[place]) for row in cells)  # an id that is broken cannot be copied
        table.add_column(column, overflow="fold", no_wrap=whole)
    for row in cells:
        table.add_row(*map(Text, row))
    out.print(table, width=max(out.width, Measurement.get(out, out.options, table).minimum))
