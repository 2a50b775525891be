"""The audit log as a file: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from webapp.audit.models import AuditEntry

COLUMNS = (
    "sequence",
    "at",
    "actor_kind",
    "actor_id",
    "actor_label",
    "organisation_id",
    "project_id",
    "action",
    "object_id",
    "details",
    "previous_hash",
    "hash",
)
# A spreadsheet takes a cell that starts so for a formula: names and reasons come from other organisations.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def entry_dict(entry: AuditEntry) -> dict[str, Any]:
    """Every field of an entry: enough to recompute its hash elsewhere."""
    fields = {name: getattr(entry, name) for name in COLUMNS}
    return {**fields, "at": entry.at.isoformat()}


def csv_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """Header and one line an entry; no cell can act as a formula."""
    yield _line(list(COLUMNS))
    for entry in entries:
        fields = entry_dict(entry)
        fields["details"] = json.dumps(fields["details"], sort_keys=True, ensure_ascii=False)
        yield _line([csv_safe(str(fields[name])) for name in COLUMNS])


def json_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """One JSON object an entry, one a line."""
    for entry in entries:
        yield json.dumps(entry_dict(entry), sort_keys=True, ensure_ascii=False) + "\n"


def csv_safe(text: str) -> str:
    """The text, with an apostrophe before it where a spreadsheet would calculate."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _line(cells: list[str]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue()
