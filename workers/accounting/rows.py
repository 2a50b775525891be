"""How the privacy ledger knows a row: by a keyed digest of what it holds. The key never leaves the site."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any

BYTES = 16


def row_digests(key: bytes, rows: Iterable[Mapping[str, Any]]) -> list[bytes]:
    """One for each row, as it is stored: equal rows have equal digests, in whichever dataset or version they are."""
    return [_digest(key, row) for row in rows]


def key_fingerprint(key: bytes) -> bytes:
    """By which the ledger knows under which key its rows are; it tells nothing of the key."""
    return hmac.new(key, b"key of the privacy ledger", hashlib.sha256).digest()[:BYTES]


def _digest(key: bytes, row: Mapping[str, Any]) -> bytes:
    text = json.dumps(row, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(key, b"row of the privacy ledger\0" + text.encode(), hashlib.sha256).digest()[:BYTES]
