"""Token lengths with a base model's own tokenizer (no torch: the tokenizers library reads tokenizer.json)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitcore.errors import AppError
from splitcore.models.files import read_json
from workers.contracts import Histogram

_BUCKETS = 24
USUAL = (256, 512, 1024, 2048, 4096)  # lengths of a row as runs have them
_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")


@dataclass(frozen=True)
class Longer:
    """How many rows are cut off where a run has rows of at most `length` tokens, and of how many no target is left."""

    length: int
    rows: int
    without_target: int
    is_models: bool = False  # the most positions that the base model has

    @property
    def truncated(self) -> int:
        """Rows that are cut off and still have a target."""
        return self.rows - self.without_target

    @property
    def words(self) -> str:
        """The length, and whose it is."""
        return f"{self.length:,}{' (the model’s positions)' if self.is_models else ''}"


def positions_of(model_folder: Path) -> int | None:
    """The most tokens that the base model takes at once, where its configuration tells."""
    try:
        config = read_json(model_folder / "config.json")
    except AppError:
        return None
    text = config.get("text_config")
    for values in (config, text if isinstance(text, dict) else {}):
        for name in _POSITIONS:
            if isinstance(found := values.get(name), int) and found > 0:
                return found
    return None


class LengthMeter:
    """Counts tokens row by row and sums them up as a histogram."""

    def __init__(self, model_folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(model_folder / "tokenizer.json"))
        self._positions = positions_of(model_folder)
        self.lengths: list[int] = []
        self._prompts: list[int] = []

    def add(self, row: dict[str, Any]) -> int:
        """Measure one canonical row; returns its tokens."""
        if "messages" in row:
            *before, target = [message["content"] for message in row["messages"]]
        else:
            *before, target = [row[name] for name in ("prompt", "completion", "text") if name in row]
        prompt = sum(map(self._count, before)) + 1
        length = prompt + self._count(target) + 1
        self._prompts.append(prompt)
        self.lengths.append(length)
        return length

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def longer(self) -> list[Longer]:
        """Rows beyond each usual length, up to the first that all rows fit; and beyond the model's positions."""
        found = []
        for length in USUAL:
            found.append(self._longer(length))
            if not found[-1].rows:
                break
        if self._positions is not None:
            found = [one for one in found if one.length < self._positions]
            found.append(self._longer(self._positions, is_models=True))
        return found if self.lengths else []

    def _longer(self, length: int, *, is_models: bool = False) -> Longer:
        rows = sum(one > length for one in self.lengths)
        return Longer(length, rows, sum(one >= length for one in self._prompts), is_models)

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
