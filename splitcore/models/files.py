"""The files of a base model, read without torch: which are there, which tensors they hold, which a segment needs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitcore.errors import AppError
from splitcore.models.plan import SegmentPlan

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]  # configuration and tokenizer, as patterns
MAX_HEADER = 100_000_000
EMBEDDINGS = frozenset(
    {"embed_tokens", "wte", "word_embeddings", "embed_in", "embeddings", "tok_embeddings", "tokens_embed", "w"}
)
FINAL_NORMS = frozenset({"norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f", "final_norm", "ln_out"})
OUTPUTS = frozenset({"lm_head", "embed_out", "output", "cls", "generator_lm_head", "generator_predictions"})
# The norm beside the list of layers: model.norm.weight, transformer.ln_f.bias.
_FINAL_NORM = re.compile(rf"^[^\d]*\b(?:{'|'.join(sorted(FINAL_NORMS))})\.(?:weight|bias)$")
# Encoders of pictures or sound in front of some decoders have layers of their own.
# No segment holds them (carve), but for one that text passes through.
TOWER_IN_EMBEDDING = "embed_tokens_extend"
_TOWER = re.compile(r"vision|visual|image|img_|audio|speech")
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block|decoder_layers)\.(\d+)\.")


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
        raise AppError("CL-1103", "The folder of the base model doesn't exist on this machine.")
    check_configuration(folder)
    if not list(folder.glob("*.safetensors")):
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            raise AppError(
                "CL-1103", "The base model's weights are pickled (.bin) and could run code, so they are refused."
            )
        raise AppError("CL-1103", "The base model has no *.safetensors weights.")


def check_configuration(folder: Path) -> None:
    """Raise AppError CL-1103 unless `folder` holds a configuration of a model that brings no code."""
    if not (folder / "config.json").is_file():
        raise AppError("CL-1103", "The base model has no config.json.")
    if "auto_map" in read_json(folder / "config.json"):
        raise AppError("CL-1103", "The base model brings its own code (auto_map), which is never run.")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises AppError CL-1103."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise AppError("CL-1103", f"{path.name} can't be read as JSON.") from None
    if not isinstance(data, dict):
        raise AppError("CL-1103", f"{path.name} doesn't contain a JSON object.")
    return data


def weight_map(folder: Path) -> dict[str, str] | None:
    """Tensor name → shard file, where the model is sharded. Raises AppError CL-1103."""
    return _weight_map(folder) if (folder / INDEX).is_file() else None


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
            length = header_length(file.read(8), size, path)
            header = file.read(length)
    except FileNotFoundError:
        raise AppError("CL-1103", f"The weight file {path.name} is missing.") from None
    except OSError:
        raise _damaged(path) from None
    yield from read_header(header, size, path)


def header_length(first: bytes, size: int, path: Path) -> int:
    """Length of the header of a safetensors file of `size` bytes, from its first eight. Raises AppError CL-1103."""
    length = int.from_bytes(first, "little")
    if len(first) != 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
        raise _damaged(path)
    return length


def read_header(header: bytes, size: int, path: Path) -> list[TensorEntry]:
    """The tensors that the header of a safetensors file of `size` bytes names. Raises AppError CL-1103."""
    entries = []
    try:
        for name, entry in json.loads(header).items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            if not 0 <= begin <= end <= size - 8 - len(header):
                raise ValueError("offsets")
            shape = tuple(int(dim) for dim in entry["shape"])
            entries.append(TensorEntry(name, path, str(entry["dtype"]), shape, 8 + len(header) + begin, end - begin))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise _damaged(path) from None
    return entries


def _damaged(path: Path) -> AppError:
    return AppError("CL-1103", f"The weight file {path.name} is damaged.")


def wanted_by(tensor: str, plan: SegmentPlan, *, tied: bool) -> bool:
    """Whether a segment may need this tensor of the checkpoint; names that tell nothing are taken to be needed."""
    if _TOWER.search(tensor):
        return TOWER_IN_EMBEDDING in tensor
    layer = _LAYER.search(tensor)
    if layer:
        return plan.owns(int(layer.group(1)))
    parts = set(tensor.split("."))
    if parts & OUTPUTS:
        return plan.output
    if EMBEDDINGS & {tensor.removesuffix(".weight").rpartition(".")[2]}:
        return plan.embedding or (plan.output and tied)
    if _FINAL_NORM.search(tensor) and not parts & EMBEDDINGS:
        return plan.output
    return True


def wanted_shards(folder: Path, plan: SegmentPlan, *, tied: bool) -> dict[str, str]:
    """The part of the index (tensor → shard) that a segment needs."""
    return {name: file for name, file in _weight_map(folder).items() if wanted_by(name, plan, tied=tied)}
