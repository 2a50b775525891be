"""Join head, body and tail into one standard PEFT adapter. Torch-free: the hub runs this on files of other parties."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from splitcore.adapters.segments import (
    CONFIG,
    PREFIX,
    WEIGHTS,
    SegmentInfo,
    json_bytes,
    read_object,
    write_folder,
)
from splitcore.errors import AppError

_KEY = re.compile(r"^base_model\.model\.(?P<module>[A-Za-z0-9_.]{1,300})\.lora_(?P<part>[AB])\.weight$")
_SAME = ("peft_type", "task_type", "bias", "use_rslora", "use_dora", "fan_in_fan_out", "lora_dropout")
Tensors = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class JoinReport:
    """What came out of a join."""

    tensors: int
    parameters: int
    layers: int
    sha256: str


@dataclass(frozen=True)
class _Part:
    info: SegmentInfo
    config: dict[str, Any]
    tensors: Tensors


def join_segments(
    folders: Sequence[Path], out: Path, *, expected_model: str | None = None, revision: str | None = None
) -> JoinReport:
    """Write `out` as a PEFT folder made of the segments in `folders`, in any order. Raises AppError CL-1106.

    Checked: the segments tile the model's layers, are of one model and one step, share no tensor, every A has its B
    with fitting shapes, and every value is finite.
    """
    parts = sorted((_read(folder) for folder in folders), key=lambda part: (part.info.start, part.info.end))
    _check_together(parts, expected_model, revision)
    tensors: Tensors = {}
    for part in parts:
        for name, value in part.tensors.items():
            if name in tensors:
                raise AppError("CL-1106", f"Two segments hold the same tensor {name}.", details={"name": name})
            tensors[name] = value
    if not tensors:
        raise AppError("CL-1106", "The segments hold no adapter at all.")
    weights = save(tensors, metadata={"format": "pt"})
    write_folder(out, {WEIGHTS: weights, CONFIG: json_bytes(_merged_config(parts, tensors))})
    return JoinReport(
        tensors=len(tensors),
        parameters=sum(int(value.size) for value in tensors.values()),
        layers=parts[0].info.total,
        sha256=hashlib.sha256(weights).hexdigest(),
    )


def read_tensors(path: Path) -> Tensors:
    """The fp32 tensors of a segment, checked one by one. Raises AppError CL-1106."""
    try:
        tensors: Tensors = load(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        raise AppError("CL-1106", f"{WEIGHTS} of a segment cannot be read.") from None
    for name, value in tensors.items():
        if not _KEY.match(name):
            raise AppError("CL-1106", "A segment holds a tensor that is no LoRA weight.", details={"name": name[:200]})
        if value.dtype != np.float32 or value.ndim != 2:
            raise AppError("CL-1106", f"The tensor {name} is not a float32 matrix.", details={"name": name})
        if not np.isfinite(value).all():
            raise AppError("CL-1106", f"The tensor {name} holds values that are not finite.", details={"name": name})
    _check_pairs(tensors)
    return tensors


def _check_pairs(tensors: Tensors) -> None:
    """Every A (rank × in) needs its B (out × rank)."""
    for name, value in tensors.items():
        match = _KEY.match(name)
        if match is None:
            continue
        other = f"{PREFIX}{match['module']}.lora_{'B' if match['part'] == 'A' else 'A'}.weight"
        if other not in tensors:
            raise AppError("CL-1106", f"The tensor {name} is alone, {other} is missing.", details={"name": name})
        if match["part"] == "A" and value.shape[0] != tensors[other].shape[1]:
            raise AppError("CL-1106", f"The shapes of {name} and its pair do not fit.", details={"name": name})


def _read(folder: Path) -> _Part:
    return _Part(SegmentInfo.read(folder), read_object(folder / CONFIG), read_tensors(folder / WEIGHTS))


def _check_together(parts: Sequence[_Part], expected_model: str | None, revision: str | None) -> None:
    """One model, one step, layers from 0 to the last without gap or overlap."""
    if not parts:
        raise AppError("CL-1106", "There are no segments to join.")
    first = parts[0].info
    reached = 0
    for part in parts:
        info = part.info
        if (info.model, info.revision, info.manifest) != (first.model, first.revision, first.manifest):
            raise AppError("CL-1106", "The segments belong to different base models.")
        if expected_model is not None and (info.model, info.revision) != (expected_model, revision):
            raise AppError("CL-1106", "The segments do not belong to the base model of the contract.")
        if (info.step, info.total) != (first.step, first.total):
            raise AppError("CL-1106", f"The segments are of different steps: {first.step} and {info.step}.")
        if info.start != reached:
            raise AppError("CL-1106", f"Layers {reached} to {info.start} are missing or held twice.")
        reached = info.end
        if any(part.config.get(key) != parts[0].config.get(key) for key in _SAME):
            raise AppError("CL-1106", "The segments' adapters are configured differently.")
    if reached != first.total:
        raise AppError("CL-1106", f"Layers {reached} to {first.total} are missing.")


def _merged_config(parts: Sequence[_Part], tensors: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, Any]:
    """One PEFT configuration: the union of target modules, and a pattern for each rank that is not the usual one."""
    merged = dict(parts[0].config)
    ranks = {
        match["module"]: int(value.shape[0])
        for name, value in tensors.items()
        if (match := _KEY.match(name)) and match["part"] == "A"
    }
    usual = Counter(ranks.values()).most_common(1)[0][0]
    alphas: dict[str, float] = {}
    for part in parts:
        for name in part.tensors:
            if match := _KEY.match(name):
                alphas[match["module"]] = float(part.config["lora_alpha"])
    alpha = Counter(alphas.values()).most_common(1)[0][0]
    merged.update(
        target_modules=sorted({module for part in parts for module in part.config["target_modules"]}),
        r=usual,
        lora_alpha=alpha,
        rank_pattern={module: rank for module, rank in sorted(ranks.items()) if rank != usual},
        alpha_pattern={module: value for module, value in sorted(alphas.items()) if value != alpha},
        base_model_name_or_path=parts[0].info.model,
        revision=parts[0].info.revision,
        inference_mode=True,
    )
    return merged
