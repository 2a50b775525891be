"""The demo's two private datasets: ``python -m demo.datasets --out FOLDER`` writes them as JSONL."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from demo.text.bank import ticket
from demo.text.clinic import note

Row = dict[str, str]

DOMAINS: dict[str, Callable[[Random], Row]] = {"clinic": note, "bank": ticket}
TRAIN_ROWS, HELDOUT_ROWS, SEED = 384, 60, 11


def domain_rows(name: str, seed: int = SEED) -> tuple[list[Row], list[Row]]:
    """Return the training and the held-out rows of one domain; no prompt is in both, and none comes twice."""
    rng = Random(f"{name} {seed}")
    unique: dict[str, Row] = {}
    while len(unique) < TRAIN_ROWS + HELDOUT_ROWS:
        row = DOMAINS[name](rng)
        unique[row["prompt"]] = row
    rows = list(unique.values())
    return rows[:TRAIN_ROWS], rows[TRAIN_ROWS:]


def write_datasets(folder: Path, seed: int = SEED, *, heldout_rows: int = HELDOUT_ROWS) -> list[Path]:
    """Write ``NAME_train.jsonl`` and ``NAME_heldout.jsonl`` of every domain and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in DOMAINS:
        train, heldout = domain_rows(name, seed)
        for part, rows in (("train", train), ("heldout", heldout[:heldout_rows])):
            path = folder / f"{name}_{part}.jsonl"
            path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
            paths.append(path)
    return paths


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the datasets and say where they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the four files")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)
    for path in write_datasets(options.out, options.seed):
        print(path)


if __name__ == "__main__":
    main()
