"""The two models: the demo's after some public steps on the domain, and a real one; rows of E2E for both."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.benchmarks import codecs
from tests.benchmarks.frame import Scale
from tests.benchmarks.real_model import ROOT, real_model
from tests.benchmarks.warm_base import warm_base

WARM = ROOT / "var" / "models" / "demo-warm"
Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. steps, batch, rate: of the training; held_out: rows that measure its gain."""

    folder: Path
    cut: int
    steps: int
    batch: int
    rate: float
    held_out: int
    audited: int

    def config(self, seed: int) -> dict[str, Any]:
        """As sections of a RunConfig."""
        return {
            "model": {"name_or_path": str(self.folder), "dtype": "float32"},
            "split": {"head_layers": self.cut, "tail_layers": self.cut},
            "training": {
                "steps": self.steps,
                "batch_size": self.batch,
                "learning_rate": self.rate,
                "schedule": "linear",
                "warmup": max(1, self.steps // 10),
                "max_length": codecs.LENGTH,
                "eval_every": 0,
                "seed": seed,
            },
        }

    @property
    def rows(self) -> list[Row]:
        """What is trained on."""
        return _rows("e2e_train.jsonl")[: self.steps * self.batch]

    @property
    def measured_rows(self) -> list[Row]:
        """Held-out rows."""
        return _rows("e2e_test.jsonl")[: self.held_out]

    @property
    def audited_rows(self) -> list[Row]:
        """Rows for an audit, of which the observer gets some."""
        return _rows("e2e_train.jsonl")[: self.audited]


def recipe(model: str, scale: Scale) -> Recipe:
    """Of a model that is prepared."""
    if model == "demo":
        return Recipe(WARM, 2, scale.of(100, 20), 16, 1e-3, scale.of(200, 40), 600)
    return Recipe(real_model(), 2, scale.of(16, 4), 8, 5e-4, scale.of(64, 16), 400)


def prepared(models: Collection[str]) -> None:
    """Make the folders that aren't there yet."""
    if "demo" in models and not (WARM / "config.json").is_file():
        others = _rows("e2e_train.jsonl")[100 * 16 :]
        warm_base(codecs.MODEL, others, codecs.BASE_STEPS, codecs.LENGTH, WARM)
    if models - {"demo"}:  # type: ignore[operator]
        real_model()


@cache
def _rows(name: str) -> list[Row]:
    return codecs.short_rows(name)
