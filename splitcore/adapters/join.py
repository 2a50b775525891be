"""Join head, body and tail into one standard PEFT adapter. Torch-free: the hub runs this on files of other parties."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitcore.adapters.peft_config import SegmentConfig, Terms, check_terms, joined_config
from splitcore.adapters.segments import (
    CONFIG,
    HEAD_KEY,
    WEIGHTS,
    SegmentInfo,
    json_bytes,
    read_object,
    write_folder,
)
from splitcore.adapters.tensor_file import WHOLE, TensorFile, file_of, module_of
from splitcore.errors import AppError


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
    config: SegmentConfig
    tensors: TensorFile


def join_segments(
    folders: Sequence[Path],
    out: Path,
    *,
    expected_model: str | None = None,
    revision: str | None = None,
    terms: Terms | None = None,
) -> JoinReport:
    """Write `out` as a PEFT folder made of the segments in `folders`, in any order. Raises AppError CL-1106.

    Checked: the segments tile the model's layers, are of one model and one step, share no tensor, every A has its B
    with fitting shapes, every value is finite, and with `terms` that rank, alpha and dropout are the contract's. The
    configuration is written anew; nothing of a segment's own is copied. One tensor at a time is in memory.
    """
    parts = sorted((_read(folder) for folder in folders), key=lambda part: (part.info.start, part.info.end))
    _check_together(parts, expected_model, revision)
    files: dict[str, TensorFile] = {}
    for part in parts:
        for name in part.tensors.shapes:
            if name in files:
                raise AppError("CL-1106", f"Two segments contain the same tensor {name}.", details={"name": name})
            files[name] = part.tensors
    if not files:
        raise AppError("CL-1106", "The segments contain no adapter.")
    head = files[HEAD_KEY].shapes[HEAD_KEY] if HEAD_KEY in files else None
    ranks = {module_of(name)[0]: file.shapes[name][0] for name, file in files.items() if module_of(name)[1] == "A"}
    if terms is not None:
        check_terms(terms, [part.config for part in parts], ranks, head)
    config = joined_config([part.config for part in parts], ranks, _alphas(parts), parts[0].info)
    if (head is not None) != parts[0].config.has_head:
        raise AppError("CL-1106", "The segments' configurations and their tensors disagree on a classification head.")
    digest = hashlib.sha256()
    write_folder(out, {WEIGHTS: _hashed(file_of(files), digest.update), CONFIG: json_bytes(config)})
    return JoinReport(
        tensors=len(files),
        parameters=sum(file.shapes[name][0] * file.shapes[name][1] for name, file in files.items()),
        layers=parts[0].info.total,
        sha256=digest.hexdigest(),
    )


def _hashed(pieces: Iterable[bytes], update: Any) -> Iterator[bytes]:
    for piece in pieces:
        update(piece)
        yield piece


def _alphas(parts: Sequence[_Part]) -> dict[str, float]:
    """The scale of each adapted module."""
    named = [(module_of(name), part.config.lora_alpha) for part in parts for name in part.tensors.shapes]
    return {module: alpha for (module, kind), alpha in named if kind != WHOLE}


def _read(folder: Path) -> _Part:
    config = SegmentConfig.read(read_object(folder / CONFIG))
    return _Part(SegmentInfo.read(folder), config, TensorFile.open(folder / WEIGHTS))


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
            raise AppError("CL-1106", "The segments don't belong to the contract's base model.")
        if (info.step, info.total) != (first.step, first.total):
            raise AppError("CL-1106", f"The segments are from different steps: {first.step} and {info.step}.")
        if info.start != reached:
            raise AppError("CL-1106", f"Layers {reached} to {info.start} are missing or duplicated.")
        reached = info.end
        if part.config.shared() != parts[0].config.shared():
            raise AppError("CL-1106", "The segments' adapters are configured differently.")
    if reached != first.total:
        raise AppError("CL-1106", f"Layers {reached} to {first.total} are missing.")
