"""codecs: bytes and held-out loss of the wire's formats against bf16, over three seeds; a warm base, rows of E2E.

Bytes are those of the frames of training, headers and all, both directions. The loss is the joined adapter's on the
unsplit model, where no codec is at work any more: what a user of the adapter gets.

Plain formats are compared in one pass over many rows, and in ten passes over few: rows that come again are learnt by
heart, and noise damps that, so that a coarser wire looks better than bf16 there. `changes` need rows that come again.

Any other rounding sends training another way, and two adapters that are equally good differ in their loss on some rows.
How much of a change is that, an fp32 wire shows, which rounds nothing (`fp32`, the noise floor).
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

import splitcore
from splitcore import RunConfig
from splitcore.codecs.registry import payload_bytes
from splitcore.config import DataSection
from splitcore.control.events import SERVER, Event, StepFinished
from splitcore.data.batches import collate, padding_id
from splitcore.data.tokenise import encode_rows
from splitcore.optimise.loss import loss_sum
from tests.benchmarks.codec_share import WORK, share, shares
from tests.benchmarks.frame import Scale, Table, figure, show
from tests.benchmarks.warm_base import warm_base

ROOT = Path(__file__).resolve().parents[2]
DATA, MODEL = ROOT.parent / "shared" / "data", ROOT / "demo" / "base_model"
SHORT = 240  # characters of a row: about 90 tokens at most, so that every run fits into a minute
LENGTH, BATCH, HELD_OUT, WIDTH, RATE, WARMUP = 128, 16, 400, 192, 1e-3, 10
STEPS, EPOCH = 100, 10  # of every run; of an epoch where rows come again
BASE_STEPS = 24  # of the base, on other rows: its loss is then 3.4, and training takes a fifth to a third off it
BF16 = {"activations": "bf16", "gradients": "bf16", "skip_padding": True}
LOW = {"gradient_rounding": "rotated", "skip_padding": True}
FP32 = {"activations": "fp32", "gradients": "fp32", "skip_padding": True}
WIRES: dict[str, dict[str, Any]] = {
    "3.7x": {**LOW, "activations": "int4", "gradients": "int4"},
    "5x": {**LOW, "activations": "int3", "gradients": "int3"},
}
CHANGES = {**LOW, "activations": "int5", "changes": "ternary", "gradients": "int3"}
TARGETS = {
    "3.7x": (3.7, 0.2),
    "3.7x, ten passes": (3.7, 0.2),
    "5x": (5.0, 0.3),
    "5x, ten passes": (5.0, 0.3),
    "changes": (6.0, 0.5),
    "changes, later activations": (8.0, 0.5),
}


@dataclass(frozen=True)
class Step:
    """One step: bytes up and down, real tokens, seconds by stage of both halves."""

    up: int
    down: int
    tokens: int
    seconds: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """One run: the joined adapter's held-out loss and SHA-256, and its steps."""

    loss: float
    adapter: str
    steps: list[Step]

    @property
    def total(self) -> int:
        """Bytes of the whole training."""
        return sum(step.up + step.down for step in self.steps)

    @property
    def share(self) -> float:
        """Share of encoding and decoding in the computing time of both halves."""
        return share({stage: sum(step.seconds[stage] for step in self.steps) for stage in WORK})


class Runs:
    """Runs from the same base on the same rows, told apart by seed and wire; each is made once."""

    def __init__(self, scale: Scale, folder: Path) -> None:
        self.scale, self.base = scale, folder / "base"
        self.steps, self.epoch = scale.of(STEPS, 4), scale.of(EPOCH, 2)
        self.train = short_rows("e2e_train.jsonl")[: STEPS * BATCH]
        self.held_out = short_rows("e2e_test.jsonl")[: scale.of(HELD_OUT, 32)]
        others = [row for row in short_rows("e2e_train.jsonl") if row not in self.train]
        warm_base(MODEL, others, scale.of(BASE_STEPS, 2), LENGTH, self.base)

    def loss(self, adapter: Path | None = None) -> float:
        """The held-out loss of the base, or of an adapter on it."""
        return held_out_loss(self.base, adapter, self.held_out)

    def run(self, seed: int, wire: Mapping[str, Any], *, epoch: int, steps: int = 0, **sections: Any) -> Outcome:
        """Train on as many rows as an epoch of `epoch` steps has, and measure."""
        training = {
            "steps": steps or self.steps,
            "batch_size": BATCH,
            "learning_rate": RATE,
            "schedule": "linear",
            "warmup": WARMUP,
            "max_length": LENGTH,
            "eval_every": 0,
            "seed": seed,
            **sections.pop("training", {}),
        }
        config = RunConfig.parse(
            {
                "model": {"name_or_path": str(self.base)},
                "split": {"head_layers": 2, "tail_layers": 2},
                "training": training,
                "wire": dict(wire),
                **sections,
            }
        )
        client: list[StepFinished] = []
        server: list[StepFinished] = []

        def note(event: Event) -> None:
            if isinstance(event, StepFinished):
                (server if event.party == SERVER else client).append(event)

        with tempfile.TemporaryDirectory(prefix="cutlayer-bench-") as out:
            splitcore.fine_tune(config, {"a": self.train[: epoch * BATCH]}, out=out, on_event=note)
            loss = self.loss(Path(out) / "adapter")
            digest = hashlib.sha256((Path(out) / "adapter" / "adapter_model.safetensors").read_bytes()).hexdigest()
        steps_seen = [
            Step(
                mine.uplink_bytes,
                mine.downlink_bytes,
                mine.seen_tokens,
                {stage: mine.seconds.get(stage, 0.0) + theirs.seconds.get(stage, 0.0) for stage in WORK},
            )
            for mine, theirs in zip(client, server, strict=True)
        ]
        return Outcome(loss, digest, steps_seen)


def short_rows(name: str) -> list[dict[str, Any]]:
    """The file's short rows, shuffled: in the file, those of a prompt follow each other."""
    found = [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
    chosen = [row for row in found if len(row["prompt"]) + len(row["completion"]) <= SHORT]
    Random(0).shuffle(chosen)
    return chosen


def held_out_loss(base: Path, adapter: Path | None, rows: list[dict[str, Any]]) -> float:
    """Mean loss of a target token, with plain PEFT on the unsplit model; without an adapter, the model's as it is."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).eval()
    encoded = sorted(encode_rows(rows, tokenizer, DataSection(), LENGTH), key=lambda row: len(row.ids))
    batches = [collate(encoded[at : at + 16], padding=padding_id(tokenizer)) for at in range(0, len(encoded), 16)]
    with torch.no_grad():
        summed = sum(
            loss_sum(model(input_ids=b.ids_BL, attention_mask=b.mask_BL, use_cache=False).logits, b.labels_BL).item()
            for b in batches
        )
    return summed / sum(batch.targets for batch in batches)


def measure(scale: Scale) -> dict[str, Any]:
    """Each wire against bf16 of the same seed, and a frozen head with and without kept activations.

    Padding is left out on both sides: what that saves is told apart, as `padding`.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="cutlayer-bench-") as folder:
        return measured(Runs(scale, Path(folder)))


def measured(runs: Runs) -> dict[str, Any]:
    """The same, with these runs."""
    seeds, epoch = range(runs.scale.of(3, 1)), runs.epoch

    def with_wire(wire: Mapping[str, Any], *, epoch: int) -> list[Outcome]:
        return [runs.run(seed, wire, epoch=epoch) for seed in seeds]

    once, again, changes = (
        with_wire(BF16, epoch=runs.steps),
        with_wire(BF16, epoch=epoch),
        with_wire(CHANGES, epoch=epoch),
    )
    found = {"fp32": compared([runs.run(0, FP32, epoch=runs.steps)], once[:1], FP32)}
    for name, wire in WIRES.items():
        found[name] = compared(with_wire(wire, epoch=runs.steps), once, wire)
        found[f"{name}, ten passes"] = compared(with_wire(wire, epoch=epoch), again, wire)
    found["changes"] = compared(changes, again, CHANGES)
    found["changes, later activations"] = {
        **found["changes"],
        "ratio_to_bf16": mean(
            later_activations(one, BF16, epoch) / later_activations(other, CHANGES, epoch)
            for one, other in zip(again, changes, strict=True)
        ),
    }
    padded = runs.run(0, {**BF16, "skip_padding": False}, epoch=epoch, steps=epoch)
    return {
        **found,
        "untrained_loss": runs.loss(),
        "reference_loss": figure([run.loss for run in once]),
        "reference_loss_again": figure([run.loss for run in again]),
        "reference_share": figure([run.share for run in once]),
        "wide_share": shares(runs.scale, {"bf16": BF16, "fp32": FP32, **WIRES, "changes": CHANGES}),
        "padding": 1 - sum(step.up + step.down for step in again[0].steps[:epoch]) / padded.total,
        "kept": kept(runs),
        "model": f"demo/base_model after {BASE_STEPS} steps on other rows: 8 layers of width 192, 2 + 2 at the client",
        "steps": {"steps": runs.steps, "of_an_epoch_of_changes": epoch, "rows": BATCH},
    }


def compared(runs: list[Outcome], reference: list[Outcome], wire: Mapping[str, Any]) -> dict[str, Any]:
    """`ratio_to_bf16` fewer bytes, `loss_change` percent more loss: means over the seeds; `spread` of the latter."""
    changes = [100 * (run.loss / other.loss - 1) for run, other in zip(runs, reference, strict=True)]
    return {
        "ratio_to_bf16": mean(other.total / run.total for run, other in zip(runs, reference, strict=True)),
        "loss_change": mean(changes),
        "spread": max(changes) - min(changes),
        "runs": changes,
        "share": figure([run.share for run in runs]),
        "wire": dict(wire),
    }


def later_activations(run: Outcome, wire: Mapping[str, Any], epoch: int) -> int:
    """Bytes after the first epoch (`epoch` steps) of all but the gradients' values: activations, and all headers."""
    return sum(
        step.up + step.down - 2 * payload_bytes(wire["gradients"], (step.tokens, WIDTH)) for step in run.steps[epoch:]
    )


def kept(runs: Runs) -> dict[str, Any]:
    """A frozen head for three epochs, its activations kept or not: same bits, and what is left of uplink and head."""
    epoch, steps = runs.epoch, 3 * runs.epoch
    frozen: dict[str, Any] = {"lora": {"train_head": False}}
    plain = runs.run(0, BF16, epoch=epoch, steps=steps, **frozen)
    cached = runs.run(0, BF16, epoch=epoch, steps=steps, training={"cache_activations": True}, **frozen)
    later, later_cached = plain.steps[epoch:], cached.steps[epoch:]
    gradients = sum(payload_bytes("bf16", (step.tokens, WIDTH)) for step in later_cached)
    return {
        "same_adapter": plain.adapter == cached.adapter,
        "uplink_later_epochs": sum(step.up for step in later),
        "uplink_later_epochs_kept": sum(step.up for step in later_cached),
        "of_it_not_tail_gradients": sum(step.up for step in later_cached) - gradients,
        "head_seconds_later_epochs": sum(step.seconds["head_forward"] for step in later),
        "head_seconds_later_epochs_kept": sum(step.seconds["head_forward"] for step in later_cached),
    }


def percent(share_: Mapping[str, Any]) -> str:
    """A share with its spread, for a table."""
    return show({key: 100 * share_[key] for key in ("value", "spread")}, 2, " %")


def rows(result: Mapping[str, Any]) -> Table:
    """Each format against its target, after the noise floor."""
    body = []
    for name in ("fp32", *TARGETS):
        one = result[name]
        ratio, loss = TARGETS.get(name, (None, None))
        body.append(
            (
                name,
                f"{one['ratio_to_bf16']:.2f}×",
                f"{ratio}×" if ratio else "",
                f"{one['loss_change']:+.2f} % ± {one['spread'] / 2:.2f}",
                f"{loss} %" if loss else "noise floor",
                percent(one["share"]),
                percent(result["wide_share"][name.partition(",")[0]]),
            )
        )
    same = "the same bits" if result["kept"]["same_adapter"] else "OTHER BITS"
    left = result["kept"]["head_seconds_later_epochs_kept"]
    before, after = result["untrained_loss"], show(result["reference_loss"], 3)
    again = show(result["reference_loss_again"], 3)
    note = (
        f"Held-out loss {before:.2f} before training; with bf16 {after} after one pass, {again} after ten over fewer "
        "rows. "
        f"Frozen head with kept activations: {same} as without; head after the first epoch {left:.3f} s; padding, left "
        f"out on both sides, is {100 * result['padding']:.0f} % of bf16's bytes. "
        f"Encoding and decoding: share of both halves' computing time; wide model: {result['wide_share']['model']}."
    )
    columns = ("format", "fewer bytes than bf16", "target", "held-out loss", "target", "encode + decode", "wide model")
    return Table("codecs: both cuts, both directions, all crossings", columns, body, note)
