"""`cutlayer worker ledger`: all that left this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from workers.cli.console import out, show_json, show_table
from workers.ledger.book import Book
from workers.ledger.summary import as_json, totals, words_of
from workers.settings import WorkerHome


def ledger(
    run: Annotated[str | None, typer.Argument(help="Only the run with this id.")] = None,
    home: Annotated[Path | None, typer.Option("--home", help="The worker's folder (CUTLAYER_WORKER_HOME).")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, with the hashes.")] = False,
) -> None:
    """All that left this machine, by run, kind and receiver, in messages and bytes."""
    found = totals(Book(WorkerHome.find(home).ledger_file), run)
    if json_output:
        show_json([as_json(total) for total in found])
        return
    if not found:
        out.print(Text("Nothing has left." if run is None else f"Nothing has left in the run {run}."))
    for total in found:
        out.print(Text(f"{total.run_id or 'Outside runs'}: {total.bytes:,} bytes"))
        show_table(
            ("What", "To", "Messages", "Bytes", "Last"),
            [
                (words_of(one), one.receiver, f"{one.count:,}", f"{one.nbytes:,}", one.last_at[:19])
                for one in total.lines
            ],
        )
        for note in total.notes:
            out.print(Text(note))
