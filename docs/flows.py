"""The tables of what leaves, in README.md, threat-model.md and protocol.md: from the flows that the engine declares."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from splitcore.flows.table import full_table, messages_table, short_table

README = Path(__file__).resolve().parents[1] / "README.md"
THREAT_MODEL = Path(__file__).with_name("threat-model.md")
PROTOCOL = Path(__file__).with_name("protocol.md")
TABLES: dict[Path, Callable[[], str]] = {README: short_table, THREAT_MODEL: full_table, PROTOCOL: messages_table}
BEGIN = "<!-- Written by `make docs` from splitcore/flows; a test compares them. -->\n"
END = "<!-- The end of what was written. -->\n"


def page(path: Path) -> str:
    """The page as it stands, with its table made anew."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{path.name} has no place for its table")
    return f"{before}{BEGIN}\n{TABLES[path]()}\n{END}{after}"
