"""The E2E restaurant descriptions, read beside the checkout: rows for each client, held-out prompts with references."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from random import Random

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "data"
Row = dict[str, str]


@dataclass(frozen=True)
class Asked:
    """A held-out prompt with every description that people wrote for it."""

    prompt: str
    references: tuple[str, ...]

    @property
    def rows(self) -> list[Row]:
        """One row a reference."""
        return [{"prompt": self.prompt, "completion": reference} for reference in self.references]


def clients_rows(clients: int, rows: int, seed: int) -> dict[str, list[Row]]:
    """Party → `rows` rows of its own, drawn from the training file."""
    every = _read("e2e_train.jsonl")
    Random(seed).shuffle(every)
    return {f"client_{number}": every[number * rows : (number + 1) * rows] for number in range(clients)}


def held_out(prompts: int, seed: int) -> list[Asked]:
    """Prompts of the test file, none of which is in the training file."""
    seen = {row["prompt"] for row in _read("e2e_train.jsonl")}
    references: defaultdict[str, list[str]] = defaultdict(list)
    for row in _read("e2e_test.jsonl"):
        if row["prompt"] not in seen:
            references[row["prompt"]].append(row["completion"])
    chosen = sorted(references)
    Random(seed).shuffle(chosen)
    return [Asked(prompt, tuple(references[prompt])) for prompt in chosen[:prompts]]


def _read(name: str) -> list[Row]:
    """Rows, the prompt ended by a line break. Raises FileNotFoundError where the data does not lie there."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [{"prompt": f"{row['prompt']}\n", "completion": row["completion"]} for row in found]
