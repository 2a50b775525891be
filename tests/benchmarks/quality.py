"""quality: what a user would otherwise pick, on the same model, rows and steps as the split run.

base: the model as it is. alone: one client trains on its own rows with plain PEFT. federated: FedAvg of LoRA on the
whole model. naive: a split with one micro-batch in fp32 and so no overlap, as published research code does. split:
ours. central: plain PEFT on all rows in one place, which no one may do with such data.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from math import exp
from pathlib import Path
from time import perf_counter
from typing import Any

from safetensors.torch import load_file

from splitcore.adapters.join import join_segments
from splitcore.adapters.segments import WEIGHTS
from splitcore.config import RunConfig
from splitcore.training.unsplit import UnsplitRun
from tests.benchmarks import e2e, fedavg
from tests.benchmarks.frame import Scale, Table
from tests.benchmarks.halves import SERVER, Record, run_split, run_unsplit
from tests.benchmarks.scoring import score

BASE = Path("demo/base_model")
CLIENTS, SEED = 3, 7
ARMS = ("base", "alone", "federated", "naive", "split", "central")
Found = dict[str, Any]


def measure(scale: Scale) -> dict[str, Any]:
    """Train every arm once with the same seed, and score each on the same prompts."""
    steps, asked = scale.of(75, 12), e2e.held_out(scale.of(60, 20), SEED)
    shards = e2e.clients_rows(CLIENTS, 4 * steps // 3, SEED)
    found: dict[str, Found] = {"base": {**score(_config(steps), None, asked)}}
    with tempfile.TemporaryDirectory(prefix="cutlayer-quality-") as scratch:
        out = Path(scratch)
        for name in ARMS[1:]:
            start = perf_counter()
            more = _train(name, steps, shards, out / name)
            more["seconds"] = perf_counter() - start
            found[name] = {**score(_config(steps), out / name / "adapter", asked), **more}
    rows = {"clients": CLIENTS, "rows_each": len(shards["client_0"]), "steps": steps, "prompts": len(asked)}
    return {**found, "setting": {**rows, "references": sum(len(one.references) for one in asked), "seed": SEED}}


def rows(result: Mapping[str, Any]) -> Table:
    """One line an arm, with the columns of SplitLoRA's table and what the split is about."""
    setting = result["setting"]
    body = [(name, *_quality(result[name]), *_cost(result[name])) for name in ARMS]
    return Table(
        f"quality: {setting['clients']} clients of {setting['rows_each']} rows, {setting['steps']} steps, "
        f"{setting['prompts']} held-out prompts",
        ("", "PPL", "BLEU", "NIST", "METEOR", "ROUGE-L", "CIDEr", "client\ntrains", "MB\nsent", "client\nMB", "s"),
        body,
        "PPL: e to the mean loss a token; METEOR: exact and stem matches, no synonyms; CIDEr: CIDEr-D, 0 to 10; "
        "client trains: LoRA parameters at one client; MB sent: by and to one client over the run; client MB: peak "
        "memory above that of the loaded libraries; s: all parties on this one machine, federated clients in turn",
    )


def _quality(found: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"{exp(found['loss']):.4g}",
        f"{found['bleu']:.1f}",
        f"{found['nist']:.2f}",
        f"{found['meteor']:.1f}",
        f"{found['rouge_l']:.1f}",
        f"{found['cider']:.2f}",
    )


def _cost(found: Mapping[str, Any]) -> tuple[str, ...]:
    if "seconds" not in found:
        return ("", "", "", "")
    return (
        f"{found['client_parameters'] / 1e6:.2f}M",
        f"{found['bytes'] / 1e6:.1f}",
        f"{found['client_memory'] / 1e6:.0f}",
        f"{found['seconds']:.0f}",
    )


def _config(steps: int, **wire: Any) -> RunConfig:
    """The demo's model and cut, small batches: the two arms with a split differ in micro-batches and number formats."""
    micro = wire.pop("micro_batches", 2)
    found = {
        "model": {"name_or_path": str(BASE)},
        "split": {"head_layers": 2, "tail_layers": 2},
        "lora": {"rank": 16, "alpha": 32},
        "training": {
            "steps": steps,
            "batch_size": 4,
            "micro_batches": micro,
            "learning_rate": 5e-3,
            "schedule": "cosine",
            "warmup": steps // 10,
            "clip_norm": 1.0,
            "seed": SEED,
            "max_length": 160,
            "eval_every": 0,
        },
        "wire": wire,
    }
    return RunConfig.model_validate(found)


def _train(name: str, steps: int, shards: Mapping[str, list[e2e.Row]], out: Path) -> Found:
    """Train one arm; its adapter is in `out`/adapter afterwards."""
    if name == "naive":
        return _split(_config(steps, micro_batches=1, activations="fp32", gradients="fp32"), shards, out)
    if name == "split":
        return _split(_config(steps), shards, out)
    own = dict(list(shards.items())[:1]) if name == "alone" else shards
    kind = fedavg.FederatedRun if name == "federated" else UnsplitRun
    record = run_unsplit(_config(steps), kind=kind, shards=own, out=out)
    (out / "whole" / "adapter").rename(out / "adapter")
    adapter = load_file(out / "adapter" / WEIGHTS)
    traffic = len(fedavg.rounds(steps)) * fedavg.round_bytes(adapter) if name == "federated" else 0
    parameters = sum(tensor.numel() for tensor in adapter.values())
    return {"bytes": traffic, "client_memory": _memory(record), "client_parameters": parameters}


def _split(config: RunConfig, shards: Mapping[str, list[e2e.Row]], out: Path) -> Found:
    """Train through the halves, each in a process of its own over gRPC with mutual TLS."""
    records = run_split(config, shards=shards, out=out)
    first = next(iter(shards))
    ends = sorted((out / first / "segments").iterdir())
    join_segments([*ends, out / SERVER / "segments" / "body"], out / "adapter")
    parameters = sum(tensor.numel() for end in ends for tensor in load_file(end / WEIGHTS).values())
    traffic = sum(mark.uplink + mark.downlink for mark in records[first].marks)
    return {"bytes": traffic, "client_memory": _memory(records[first]), "client_parameters": parameters}


def _memory(record: Record) -> int:
    return record.peak - record.baseline
