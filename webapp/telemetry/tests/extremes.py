"""The worst values that a message can carry, as raw JSON, and the places of a message at which they can stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

# Raw tokens: no library would write most of them, an attacker does.
EXTREMES = (
    "null",
    "{}",
    "-1",
    "2147483647",
    "2147483648",
    "9007199254740992",
    "9007199254740993",
    "9223372036854775808",
    "1" + "0" * 400,
    "1" + "0" * 5000,
    "NaN",
    "Infinity",
    "-1e999",
    "1e308",
    "3.4e38",
    "-3.4e38",
    "-1e-45",
    "1e-300",
    '""',
    '"\\u0000"',
    '"a\\u001bb"',
    '"\\ud800"',
    '"\\u202e<script>"',
    '"' + "x" * 121 + '"',
    '"' + "é" * 600 + '"',
    '"' + "x" * 700_000 + '"',
    '"0001-01-01T00:00:00+14:00"',
    '"9999-12-31T23:59:59-14:00"',
    '"1970-01-01T00:00:00"',
    '"../../etc"',
    "[" * 300 + "]" * 300,
    "[" + ",".join(["0"] * 600) + "]",
)
_HOLE = "\ue000"  # stands for the token until the message is written


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The places of a message: every field, also those that hold others."""
    if path:
        yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from leaves(entry, (*path, key))


def spoiled(message: dict[str, Any], spoils: dict[tuple[str | int, ...], str]) -> bytes:
    """The message as JSON, with raw tokens in place of the values at the given places."""
    copy = json.loads(json.dumps(message))
    tokens: list[str] = []
    for path, token in spoils.items():
        holder = copy
        try:
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = f"{_HOLE}{len(tokens)}{_HOLE}"
            tokens.append(token)
        except (KeyError, IndexError, TypeError):
            continue  # an outer value was replaced before
    text = json.dumps(copy, ensure_ascii=False)
    for number, token in enumerate(tokens):
        text = text.replace(f'"{_HOLE}{number}{_HOLE}"', token)
    return text.encode("utf-8")
