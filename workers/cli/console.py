"""How the command prints: plain and aligned, colours only on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from splitcore.errors import AppError
from workers.contracts import Check

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
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
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    out.print(table)
