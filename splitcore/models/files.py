"""The files of a base model, read without torch: which are there, which tensors they hold, which a segment needs."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitcore.errors import AppError
from splitcore.models.plan import SegmentPlan

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
MAX_HEADER = 100_000_000
EMBEDDINGS = frozenset({"embed_tokens", "wte", "word_embeddings", "embed_in", "embeddings", "tok_embeddings"})
OUTPUTS = frozenset({"lm_head", "embed_out", "output"})
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|block|decoder_layers)\.(\d+)\.")


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of a safetensors file: where its bytes lie."""

    name: str
    file: Path
    dtype: str
    shape: tuple[int, ...]
    offset: int
    length: int


def check_folder(folder: Path) -> None:
    """Raise AppError CL-1103 unless `folder` holds a configuration and safetensors weights."""
    if not folder.is_dir():
        raise AppError("CL-1103", "The folder of the base model does not exist on this machine.")
    if not (folder / "config.json").is_file():
        raise AppError("CL-1103", "The base model has no config.json.")
    if not list(folder.glob("*.safetensors")):
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            raise AppError("CL-1103", "The base model's weights are pickled (.bin), which could run code: refused.")
        raise AppError("CL-1103", "The base model has no *.safetensors weights.")
    if "auto_map" in read_json(folder / "config.json"):
        raise AppError("CL-1103", "The base model brings its own code (auto_map), which is never run.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises AppError CL-1103."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise AppError("CL-1103", f"{path.name} cannot be read as JSON.") from None
    if not isinstance(data, dict):
        raise AppError("CL-1103", f"{path.name} does not hold a JSON object.")
    return data


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files that make up the model. Raises AppError CL-1103 where one is missing."""
    if (folder / INDEX).is_file():
        names = sorted(set(_weight_map(folder).values()))
    elif (folder / SINGLE).is_file():
        names = [SINGLE]
    else:
        raise AppError("CL-1103", f"The base model has neither {SINGLE} nor {INDEX}.")
    return [folder / name for name in names]


def _weight_map(folder: Path) -> dict[str, str]:
    """Tensor name → shard file, from the index."""
    shards = read_json(folder / INDEX).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(_is_plain_name(name) for name in shards.values()):
        raise AppError("CL-1103", f"{INDEX} names no shards, or shards outside the folder.")
    return {str(tensor): str(file) for tensor, file in shards.items()}


def _is_plain_name(name: object) -> bool:
    return isinstance(name, str) and name.endswith(".safetensors") and "/" not in name and "\\" not in name


def tensors_of(path: Path) -> Iterator[TensorEntry]:
    """The tensors of one safetensors file, from its header. Raises AppError CL-1103."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise ValueError("header length")
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            if not 0 <= begin <= end <= size - 8 - length:
                raise ValueError("offsets")
            shape = tuple(int(dim) for dim in entry["shape"])
            yield TensorEntry(name, path, str(entry["dtype"]), shape, 8 + length + begin, end - begin)
    except FileNotFoundError:
        raise AppError("CL-1103", f"The weight file {path.name} is missing.") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error):
        raise AppError("CL-1103", f"The weight file {path.name} is damaged.") from None


def wanted_by(tensor: str, plan: SegmentPlan, *, tied: bool) -> bool:
    """Whether a segment may need this tensor of the checkpoint; names that tell nothing are taken to be needed."""
    layer = _LAYER.search(tensor)
    if layer:
        return plan.owns(int(layer.group(1)))
    parts = set(tensor.split("."))
    if parts & OUTPUTS:
        return plan.output
    if parts & EMBEDDINGS:
        return plan.embedding or (plan.output and tied)
    return True


def wanted_shards(folder: Path, plan: SegmentPlan, *, tied: bool) -> dict[str, str]:
    """The part of the index (tensor → shard) that a segment needs."""
    return {name: file for name, file in _weight_map(folder).items() if wanted_by(name, plan, tied=tied)}
