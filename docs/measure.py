"""Measure what docs/methods/measured.md states: `OMP_NUM_THREADS=1 python -m docs.measure` writes that page.

The demo's base model and rows, on a CPU: sizes are exact anywhere, losses and differences may vary in their last digits
from one kind of machine to another.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import nn

from demo.datasets import domain_rows
from splitcore import RunConfig, RunResult, fine_tune, fine_tune_unsplit
from splitcore.config import ModelSection
from splitcore.models.loading import load_whole
from splitcore.models.quantised import QuantisedLinear

TARGET = Path(__file__).parent / "methods" / "measured.md"
MODEL = Path(__file__).parents[1] / "demo" / "base_model"
STEPS = 8
LONGER = 16
TRAINING = {"steps": STEPS, "batch_size": 8, "learning_rate": 5e-3, "max_length": 96, "eval_every": 0, "seed": 7}
INTRODUCTION = f"""# Measured

<!-- Written by `OMP_NUM_THREADS=1 python -m docs.measure`. Run it again to compare. -->

Every figure here comes from `OMP_NUM_THREADS=1 python -m docs.measure`, run in a checkout on CPU with torch
{torch.__version__.split("+")[0]}. It trains the demo's base model (Llama type, 8 layers, hidden width 192) on the
demo's own rows: {STEPS} AdamW steps, 8 rows of each party in a step, clipping at 1.0, 2 head and 2 tail layers,
channels in memory. Held-out loss is measured on 20 rows of the clinic through the split pipeline after the last step.
"""
Shards = Mapping[str, list[dict[str, str]]]


@dataclass(frozen=True)
class Trial:
    """One split run beside the unsplit one."""

    split: RunResult
    whole: RunResult
    adapter: float  # largest difference of an adapter value

    @property
    def loss(self) -> float:
        """Largest difference of a training loss."""
        pairs = [(party, i) for party, losses in self.split.train_losses.items() for i in range(len(losses))]
        return max(abs(self.split.train_losses[p][i] - self.whole.train_losses[p][i]) for p, i in pairs)


def trial(shards: Shards, heldout: list[dict[str, str]], **sections: Any) -> Trial:
    """Train split and unsplit with the same configuration."""
    training = {**TRAINING, **sections.pop("training", {})}
    wire = {"activations": "fp32", "gradients": "fp32", **sections.pop("wire", {})}
    model = {"name_or_path": str(MODEL), **sections.pop("model", {})}
    config = RunConfig.parse({"model": model, "training": training, "wire": wire, **sections})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        split = fine_tune(config, shards, out=out / "split", eval_rows=heldout)
        whole = fine_tune_unsplit(config, shards, out=out / "whole", eval_rows=heldout)
        ours, theirs = (load_file(out / name / "adapter" / "adapter_model.safetensors") for name in ("split", "whole"))
        return Trial(split, whole, max(float(np.abs(ours[name] - theirs[name]).max()) for name in theirs))


def page() -> str:
    """The page with fresh figures."""
    clinic, heldout = domain_rows("clinic")
    bank, _ = domain_rows("bank")
    one, two, heldout = {"clinic": clinic}, {"clinic": clinic, "bank": bank}, heldout[:20]
    exact: list[tuple[str, Shards, dict[str, Any]]] = [
        ("one party, u_shape, 1 micro-batch", one, {"training": {"micro_batches": 1}}),
        ("one party, u_shape, 4 micro-batches", one, {"training": {"micro_batches": 4}}),
        (
            "one party, vanilla, 4 micro-batches",
            one,
            {"training": {"micro_batches": 4}, "split": {"topology": "vanilla"}},
        ),
        ("two parties, aggregate_every 1", two, {"training": {"micro_batches": 2}}),
        ("two parties, aggregate_every 4", two, {"training": {"micro_batches": 2}, "schedule": {"aggregate_every": 4}}),
    ]
    lines = [INTRODUCTION, "## Split against unsplit, fp32 on the wire\n"]
    lines.append("| run | largest difference of a training loss | largest difference of an adapter value |")
    lines.append("| --- | ---: | ---: |")
    for name, shards, sections in exact:
        found = trial(shards, heldout, **sections)
        lines.append(f"| {name} | {found.loss:.3g} | {found.adapter:.3g} |")
    lines.append("\n## Formats on the wire, one party, 2 micro-batches\n")
    lines.append("| activations and gradients | bytes up | bytes down | held-out loss |")
    lines.append("| --- | ---: | ---: | ---: |")
    for codec in ("fp32", "bf16", "int8"):
        wire = {"activations": codec, "gradients": codec}
        found = trial(one, heldout, training={"micro_batches": 2}, wire=wire)
        moved = found.split.bytes
        loss = found.split.eval_losses[-1][1]
        lines.append(f"| {codec} | {moved['uplink']:,} | {moved['downlink']:,} | {loss:.4f} |")
    before, after = found.whole.eval_losses[0][1], found.whole.eval_losses[-1][1]
    lines.append(f"\nUnsplit, the held-out loss is {before:.4f} before the first step and {after:.4f} after the last.")
    return "\n".join([*lines, *quantised_bases(one, heldout)]) + "\n"


def quantised_bases(shards: Shards, heldout: list[dict[str, str]]) -> list[str]:
    """What a base model in fewer bits costs in quality and takes in memory; split and unsplit are the same bits."""
    lines = [f"\n## Quantised base, one party, {LONGER} steps, fp32 adapters and wire, seeds 7, 8 and 9\n"]
    lines.append(
        "| `model.quantisation` | linear layers, share of bfloat16 | held-out loss before | after, mean | spread |"
    )
    lines.append("| --- | ---: | ---: | ---: | ---: |")
    for scheme in ("none", "int8", "int4"):
        section = {"name_or_path": str(MODEL), "quantisation": scheme, "dtype": "bfloat16"}
        base = load_whole(MODEL, ModelSection.model_validate(section))
        matrices = [module for module in base.model.layers.modules() if isinstance(module, nn.Linear)]
        held = [m.held.nbytes() if isinstance(m, QuantisedLinear) else m.weight.nbytes for m in matrices]
        share = sum(held) / sum(2 * module.weight.numel() for module in matrices)
        losses = [_quantised_run(shards, heldout, scheme, seed) for seed in (7, 8, 9)]
        after = [last for _, last in losses]
        mean, spread = sum(after) / len(after), max(after) - min(after)
        lines.append(f"| {scheme} | {share:.4f} | {losses[0][0]:.4f} | {mean:.4f} | {spread:.4f} |")
    return lines


def _quantised_run(shards: Shards, heldout: list[dict[str, str]], scheme: str, seed: int) -> tuple[float, float]:
    """Held-out loss before and after a longer training."""
    model = {"name_or_path": str(MODEL), "quantisation": scheme}
    training = {**TRAINING, "steps": LONGER, "seed": seed, "micro_batches": 2}
    with tempfile.TemporaryDirectory() as folder:
        config = RunConfig.parse({"model": model, "training": training})
        losses = fine_tune_unsplit(config, shards, out=Path(folder), eval_rows=heldout).eval_losses
    return losses[0][1], losses[-1][1]


if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
