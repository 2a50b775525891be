"""The table of a run's life for architecture.md, written from `webapp/runs/life/transitions.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from webapp.runs.life.rows import Cell, Ignored, Refused, Row
from webapp.runs.life.transitions import CLOCK, HUB, PEOPLE, WORKERS, Line
from webapp.runs.models import RunState

PAGE = Path(__file__).with_name("architecture.md")
BEGIN, END = "<!-- a run's life: written by `make docs` -->\n", "<!-- end of a run's life -->\n"
HEAD = "| event | in | goes to | if | what follows |\n| --- | --- | --- | --- | --- |"
CALLERS = {"people": PEOPLE, "workers": WORKERS, "the clock": CLOCK, "the hub": HUB}


def page() -> str:
    """architecture.md as it stands, with the table made anew."""
    written = PAGE.read_text(encoding="utf-8")
    before, _, rest = written.partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}\n{END}{rest.partition(END)[2]}"


def tables() -> str:
    """A table for each that makes events happen."""
    parts = []
    for caller, lines in CALLERS.items():
        rows = [row for happening, line in lines.items() for row in _rows(happening.value, line)]
        parts.append("\n".join([f"What {caller} cause{'s' if caller.startswith('the ') else ''}:\n", HEAD, *rows]))
    return "\n\n".join(parts) + "\n"


def _rows(name: str, line: Line) -> list[str]:
    """An event's rows: states with the same cell share one; what is refused or ignored comes last."""
    groups: list[tuple[Cell, list[RunState]]] = []
    for state, cell in line.items():
        for known, states in groups:
            if known == cell:
                states.append(state)
                break
        else:
            groups.append((cell, [state]))
    taken = [(cell, states) for cell, states in groups if isinstance(cell, tuple)]
    left = [(cell, states) for cell, states in groups if not isinstance(cell, tuple)]
    found = []
    for cell, states in [*taken, *left]:
        where = "any other" if len(left) == 1 and cell == left[0][0] else ", ".join(state.value for state in states)
        for place, cells in enumerate(_cells(cell)):
            event = f"`{name}`" if not found else ""
            found.append("| " + " | ".join([event, where if place == 0 else "", *cells]) + " |")
    return found


def _cells(cell: Cell) -> list[list[str]]:
    if isinstance(cell, Ignored):
        return [["*ignored*", "", ""]]
    if isinstance(cell, Refused):
        return [["*refused*", "", ""]]
    return [_row(row) for row in cell]


def _row(row: Row) -> list[str]:
    to = row.to.value if row.to is not None else "stays"
    conditions = [_words(row.when)] if row.when is not None else []
    conditions += [_words(demand) for demand in row.demands]
    effects = [f"`{effect.__name__}`" for effect in (*row.before, *row.after)]
    effects += [f"then `{row.then.value}`"] if row.then is not None else []
    return [to, ", ".join(conditions), ", ".join(effects)]


def _words(function: Callable[..., object]) -> str:
    return function.__name__.replace("_", " ")
