"""Token lengths with a base model's own tokenizer (no torch: the tokenizers library reads tokenizer.json)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.contracts import Histogram

_BUCKETS = 24


class LengthMeter:
    """Counts tokens row by row and sums them up as a histogram."""

    def __init__(self, model_folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
        self.lengths: list[int] = []

    def add(self, row: dict[str, Any]) -> int:
        """Measure one canonical row; returns its tokens."""
        texts = [m["content"] for m in row["messages"]] if "messages" in row else list(row.values())
        length = sum(len(self._tokenizer.encode(text, add_special_tokens=False).ids) for text in texts) + 2
        self.lengths.append(length)
        return length

    def histogram(self) -> Histogram | None:
        """Equal buckets from 0 to the longest row."""
        if not self.lengths:
            return None
        width = max(1, -(-(max(self.lengths) + 1) // _BUCKETS))
        count = max(self.lengths) // width + 1
        counts = [0] * count
        for length in self.lengths:
            counts[length // width] += 1
        return Histogram(edges=[i * width for i in range(count + 1)], counts=counts)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest row."""
        return max(self.lengths, default=None)
