"""The audit log as a file that the hub has signed: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.utils import timezone

from splitcore.audit_export import COLUMNS, Form, Statement, key_fingerprint, seal
from webapp.audit.models import AuditEntry
from webapp.audit.witness import chain_head
from webapp.fleet.hub_key import hub_public_key_pem, hub_sign

# A spreadsheet takes a cell that starts so for a formula: names and reasons come from other organisations.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def signed_export(form: Form, entries: Iterable[AuditEntry], *, organisation_id: str, query: str) -> bytes:
    """The entries in a form, and in the last line the hub's signature over all before it."""
    chain = chain_head()
    lines = [line.encode() for line in (csv_lines if form == "csv" else json_lines)(entries)]
    body = b"".join(lines)
    statement = Statement(
        organisation_id=organisation_id,
        filter=query[:600],
        exported_at=timezone.now(),
        entries=len(lines) - (form == "csv"),
        sha256=hashlib.sha256(body).hexdigest(),
        epoch=chain.epoch,
        sequence=chain.sequence,
        head=chain.head,
        hub_key=key_fingerprint(hub_public_key_pem()),
    )
    return body + seal(form, statement, hub_sign)


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
