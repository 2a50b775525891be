"""The figures of a dataset's page: the histogram's bars and the metadata, line by line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from webapp.datasets.models import FORMAT_WORDS

WIDTH, HEIGHT, _GAP = 640, 160, 1.0


@dataclass(frozen=True)
class Bar:
    """One bar, in the picture's units, and what it says."""

    x: float
    y: float
    width: float
    height: float
    text: str


@dataclass(frozen=True)
class HistogramPicture:
    """A histogram of token lengths, ready to be drawn."""

    bars: list[Bar]
    first: int
    last: int
    summary: str
    rows: list[tuple[str, int]]


def histogram_picture(metadata: dict[str, Any]) -> HistogramPicture | None:
    """The picture of the token lengths, or none where the site did not share them."""
    histogram = metadata.get("token_lengths") or {}
    edges, counts = histogram.get("edges") or [], histogram.get("counts") or []
    if not counts or len(edges) != len(counts) + 1:
        return None
    highest, width = max(*counts, 1), WIDTH / len(counts)
    rows = [(f"{edges[place]}–{edges[place + 1]}", count) for place, count in enumerate(counts)]
    bars = []
    for place, (label, count) in enumerate(rows):
        height = round(count / highest * HEIGHT, 2)
        x, bar_width = round(place * width, 2), round(max(width - _GAP, 1.0), 2)
        bars.append(Bar(x, round(HEIGHT - height, 2), bar_width, height, f"{label} tokens: {count} rows"))
    fullest = rows[counts.index(max(counts))][0]
    longest = metadata.get("longest_tokens")
    summary = f"Most rows have {fullest} tokens" + (f"; the longest has {longest}." if longest else ".")
    return HistogramPicture(bars=bars, first=edges[0], last=edges[-1], summary=summary, rows=rows)


# What a dataset's metadata may tell, and the fields of DatasetMetadata that tell it.
RECEIVED: dict[str, tuple[str, ...]] = {
    "A name, a version number, the file's format and when it was added": (
        *("name", "version", "format", "source", "created_at"),
    ),
    "The number of rows, and how many are held out": ("rows", "train_rows", "heldout_rows"),
    "The names of its columns, unless you leave them out": ("columns",),
    "Where rows have labels, the labels' names, unless you leave them out; never how often each occurs": ("labels",),
    "A histogram of lengths in tokens, the longest row's length and the id of the base model whose tokenizer counted, "
    "unless you leave them out": ("token_lengths", "longest_tokens", "tokenizer"),
    "A keyed digest that doesn't identify the file": ("digest",),
}
_LABELS = {
    "name": "Name",
    "version": "Version",
    "format": "Format",
    "source": "Source file",
    "rows": "Rows",
    "train_rows": "Rows for training",
    "heldout_rows": "Rows held out",
    "columns": "Columns",
    "labels": "Labels",
    "tokenizer": "Tokenizer",
    "longest_tokens": "Longest row, in tokens",
    "digest": "Keyed digest",
    "created_at": "Created",
}
_WORDS = {
    **FORMAT_WORDS,
    "jsonl": "JSONL",
    "csv": "CSV",
    "parquet": "Parquet",
}


def metadata_lines(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The metadata as label and value, in the order of the schema."""
    lines = []
    for key, label in _LABELS.items():
        value = metadata.get(key)
        if value in (None, "", []):
            continue
        shown = ", ".join(value) if isinstance(value, list) else _WORDS.get(str(value), value)
        lines.append({"label": label, "value": shown, "mono": key in ("digest", "columns", "created_at")})
    return lines


def metadata_text(metadata: dict[str, Any]) -> str:
    """The metadata exactly as it left the machine."""
    return json.dumps(metadata, indent=2, ensure_ascii=False, sort_keys=True)
