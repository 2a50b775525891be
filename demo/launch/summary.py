"""What came of the demo: the table of domains, and the JSON for machines."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from demo.launch.stage import DATA_PARTIES, Stage

COLUMNS = ("base", "own", "other", "together")


def party_slug(stage: Stage, key: str, run: dict[str, Any]) -> str:
    """The party name under which a run's evaluation lists an organisation."""
    for participant in run["participants"]:
        if participant["organisation"] == stage.parties[key].organisation:
            return str(participant["party"])
    raise KeyError(key)


def domains(stage: Stage, runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Domain × {base, own, other, together}, each with loss and exact match, as the data workers measured them."""
    table: dict[str, Any] = {}
    for key in DATA_PARTIES:
        [other] = [name for name in DATA_PARTIES if name != key]
        results = {
            column: runs[name]["summary"]["evaluation"][party_slug(stage, key, runs[name])]
            for column, name in (("together", "joint"), ("own", key), ("other", other))
            if name in runs
        }
        joint = results["together"]
        table[key] = {"base": {"loss": joint["base_loss"], "exact_match": joint["base_exact_match"]}}
        table[key] |= {
            column: {"loss": one["loss"], "exact_match": one["exact_match"]} for column, one in results.items()
        }
    return table


def as_table(table: dict[str, Any]) -> Table:
    """The same for a terminal."""
    drawn = Table("held-out rows of", *COLUMNS, title="Loss · exact match of the structured answer")
    for key, row in table.items():
        cells = [f"{row[c]['loss']:.3f} · {row[c]['exact_match']:.0%}" if c in row else "–" for c in COLUMNS]
        drawn.add_row(key, *cells)
    return drawn
