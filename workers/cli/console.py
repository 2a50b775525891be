"""How the command prints: plain and aligned, colours only on a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from splitcore.errors import AppError
from workers.contracts import Check

# Control characters but tab and line end, half characters, and marks that turn the direction of what is read.
_COMMANDS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]")

GAP = 2  # spaces between two columns of a table
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
    """Rows under headings, in which no word is broken. A terminal that is too narrow gets a line for each cell.

    Whoever reads a pipe or a file wants each row on a line of its own, however long.
    """
    grid = [[_COMMANDS.sub(_MARK, str(cell)) for cell in row] for row in (columns, *rows)]
    widths = [max(map(cell_len, column)) for column in zip(*grid, strict=True)]
    if out.is_terminal and not _shrink(widths, grid, out.width - GAP * (len(widths) - 1)):
        for row in grid[1:]:
            out.print(Text("\n".join(f"{column}: {cell}" for column, cell in zip(columns, row, strict=True)) + "\n"))
        return
    for number, row in enumerate(grid):
        wrapped = [wrap(cell, max(1, width), break_on_hyphens=False) for cell, width in zip(row, widths, strict=True)]
        for line in zip_longest(*wrapped, fillvalue=""):
            padded = [part + " " * (width - cell_len(part)) for part, width in zip(line, widths, strict=True)]
            out.print(Text((" " * GAP).join(padded).rstrip(), style="bold" if number == 0 else ""))


def _shrink(widths: list[int], grid: Sequence[Sequence[str]], room: int) -> bool:
    """Take from the columns that have most to give until they fit into `room`; whether they do, with whole words."""
    least = [
        max((cell_len(word) for cell in column for word in cell.split()), default=0)
        for column in zip(*grid, strict=True)
    ]
    while sum(widths) > room:
        spare = [width - word for width, word in zip(widths, least, strict=True)]
        if max(spare) <= 0:
            return False
        widths[spare.index(max(spare))] -= 1
    return True
