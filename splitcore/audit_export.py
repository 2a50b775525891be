"""Exports of the audit log: their last line is the hub's signed statement on all that comes before it.

Whoever has the hub's public key can check such a file without the hub. No torch, no web framework: the hub writes and
the sites' command reads, both by this module.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from splitcore.bounds import Count, Moment, Short, Text, json_read
from splitcore.errors import AppError
from splitcore.hub_key import hub_public_key

EXPORT_BYTES_MAX = 1 << 30
SEAL_BYTES_MAX = 16 * 1024
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
Form = Literal["csv", "json"]
Hex64 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_PURPOSE = b"cutlayer-audit-export-v1\n"  # the hub's key signs other things too


class Statement(BaseModel):
    """What the hub signs of an export."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    organisation_id: Short  # whose entries these are
    filter: Text  # as a query; empty: all of them
    exported_at: Moment
    entries: Count
    sha256: Hex64  # of every byte before this line
    # where the hub's whole log ended: a witness may hold the same place
    epoch: Short
    sequence: Count
    head: Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{64})?$")]
    hub_key: Hex64  # SHA-256 of the hub's public key


@dataclass(frozen=True)
class CheckedExport:
    """An export that is as its hub has signed it."""

    statement: Statement
    form: Form
    hashes: dict[int, str] = field(default_factory=dict)  # of JSON lines: each entry's recomputed hash, by its number


def entry_hash(entry: Mapping[str, Any]) -> str:
    """SHA-256 over every field of an entry and the previous hash, in canonical JSON."""
    fields = {
        **{name: entry[name] for name in COLUMNS if not name.startswith("actor") and name != "hash"},
        "actor": [entry["actor_kind"], entry["actor_id"], entry["actor_label"]],
    }
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def key_fingerprint(public_key_pem: str) -> str:
    """SHA-256 of a hub's public key (its DER), in hex. Raises AppError CL-1439 for what is none."""
    return _fingerprint(_load_key(public_key_pem))


def seal(form: Form, statement: Statement, sign: Callable[[bytes], bytes]) -> bytes:
    """The last line of an export."""
    fields = statement.model_dump(mode="json")
    return _seal_line(form, {"signature": sign(_signed_bytes(fields)).hex(), "statement": fields})


def export_check(data: bytes, public_key_pem: str) -> CheckedExport:
    """Check a file against a hub's key, and of JSON lines each entry's hash.

    Raises AppError: CL-1437 (no whole export), CL-1438 (changed), CL-1439 (another key), CL-1445 (hashes do not fit).
    """
    body, form, sealed = _split(data)
    statement = _verified(sealed, _load_key(public_key_pem))
    if hashlib.sha256(body).hexdigest() != statement.sha256:
        raise AppError("CL-1438", "The entries differ from those the hub signed.")
    hashes = _entries_check(body, statement) if form == "json" else {}
    return CheckedExport(statement, form, hashes)


def _split(data: bytes) -> tuple[bytes, Form, dict[str, Any]]:
    """The entries, the form, and what the last line holds, which must be written in the one way that the hub writes."""
    if not data.endswith(b"\n") or len(data) > EXPORT_BYTES_MAX:
        raise AppError("CL-1437", "The file doesn't end with a complete line, or isn't an export.")
    start = data.rfind(b"\n", 0, -1) + 1
    line = data[start:]
    form: Form = "csv" if line.startswith(b'"') else "json"
    try:
        if len(line) > SEAL_BYTES_MAX:
            raise ValueError
        text = line.decode("ascii")
        sealed = json_read(next(csv.reader([text], strict=True))[0] if form == "csv" else text)
        if set(sealed) != {"signature", "statement"} or _seal_line(form, sealed) != line:
            raise ValueError
    except (ValueError, TypeError, LookupError, csv.Error):
        raise AppError("CL-1437", "The last line isn't a hub's signature.") from None
    return data[:start], form, sealed


def _verified(sealed: dict[str, Any], key: Ed25519PublicKey) -> Statement:
    told = sealed["statement"]
    try:
        signature = bytes.fromhex(sealed["signature"])
        if signature.hex() != sealed["signature"]:
            raise ValueError
        key.verify(signature, _signed_bytes(told))
    except (InvalidSignature, TypeError, ValueError):
        if isinstance(told, dict) and told.get("hub_key") == _fingerprint(key):
            raise AppError("CL-1438", "The signature doesn't match the file's contents.") from None
        raise AppError("CL-1439") from None
    try:
        return Statement.model_validate(told)
    except ValidationError:
        raise AppError("CL-1437", "The hub's statement isn't in this version's format.") from None


def _entries_check(body: bytes, statement: Statement) -> dict[int, str]:
    """Each entry's hash, recomputed; entries that follow each other must be chained."""
    found: dict[int, str] = {}
    last = 0
    for line in body.split(b"\n")[:-1]:
        try:
            entry = json_read(line.decode())
            number = entry["sequence"]
            chained = number != last + 1 or last == 0 or entry["previous_hash"] == found[last]
            fits = number > last and chained and entry_hash(entry) == entry["hash"]
        except (ValueError, TypeError, LookupError):
            raise AppError("CL-1445", f"Entry {last} is followed by something that isn't an entry.") from None
        if not fits:
            raise AppError("CL-1445", f"Entry {number} doesn't match its hash or the previous entry.")
        found[number], last = entry["hash"], number
    if len(found) != statement.entries:
        raise AppError(
            "CL-1445", f"The file has {len(found)} entries, but the hub's statement lists {statement.entries}."
        )
    return found


def _signed_bytes(statement: Any) -> bytes:
    return _PURPOSE + _canonical(statement)


def _canonical(data: Any) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":")).encode()


def _seal_line(form: Form, sealed: dict[str, Any]) -> bytes:
    text = _canonical(sealed).decode()
    if form == "json":
        return f"{text}\n".encode()
    buffer = io.StringIO()
    csv.writer(buffer).writerow([text])
    return buffer.getvalue().encode()


def _load_key(pem: str) -> Ed25519PublicKey:
    try:
        return hub_public_key(pem)
    except ValueError as error:
        raise AppError("CL-1439", f"The given hub key can't be used. {error}") from None


def _fingerprint(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
