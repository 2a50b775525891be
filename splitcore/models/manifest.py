"""The manifest that pins a base model: SHA-256 of its configuration, its tokenizer and each tensor (torch-free)."""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from splitcore.config import canonical_json
from splitcore.errors import AppError
from splitcore.models.files import TensorEntry, check_folder, tensors_of, wanted_by, weight_files
from splitcore.models.plan import SegmentPlan

CHUNK = 1 << 22
PINNED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
MANIFEST_FILE = "manifest.json"  # a stored or sent manifest, as canonical JSON
TOKENIZER_FILES = tuple(name for name in PINNED if name not in ("config.json", "generation_config.json"))


@dataclass(frozen=True)
class TensorPin:
    """What a tensor must be."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The identity of a base model, whatever folder it lies in."""

    model: str
    revision: str | None
    files: dict[str, str]
    tensors: dict[str, TensorPin]

    def to_dict(self) -> dict[str, Any]:
        """The form that is hashed and stored."""
        return json.loads(json.dumps(asdict(self)))

    @property
    def parameters(self) -> int:
        """Numbers in all tensors."""
        return sum(math.prod(pin.shape) for pin in self.tensors.values())

    @property
    def bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(math.prod(pin.shape) * _bits(pin.dtype) // 8 for pin in self.tensors.values())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Manifest:
        """Read what `to_dict` wrote. Raises AppError CL-1104."""
        try:
            pins = {
                str(name): TensorPin(str(pin["dtype"]), tuple(int(dim) for dim in pin["shape"]), str(pin["sha256"]))
                for name, pin in data["tensors"].items()
            }
            files = {str(name): str(digest) for name, digest in data["files"].items()}
            return cls(str(data["model"]), data["revision"], files, pins)
        except (KeyError, TypeError, ValueError, AttributeError):
            raise AppError("CL-1104", "The stored manifest can't be read.") from None

    def hash(self) -> str:
        """SHA-256 of the canonical JSON: what `model.manifest` of a configuration holds."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()


def build_manifest(folder: Path, *, model: str, revision: str | None = None) -> Manifest:
    """Hash the files and every tensor of the model in `folder`. Raises AppError CL-1103."""
    check_folder(folder)
    files = {name: _file_hash(folder / name) for name in PINNED if (folder / name).is_file()}
    tensors = {
        entry.name: TensorPin(entry.dtype, entry.shape, _tensor_hash(entry))
        for path in weight_files(folder)
        for entry in tensors_of(path)
    }
    return Manifest(model, revision, dict(sorted(files.items())), dict(sorted(tensors.items())))


def verify_folder(folder: Path, manifest: Manifest, plans: list[SegmentPlan] | None = None) -> None:
    """Check the files and the tensors that `plans` load (all, where None). Raises AppError CL-1104 naming the first."""
    verify_files(folder, manifest)
    for path in weight_files(folder):
        if not path.is_file() and plans is not None:
            continue  # a shard that these segments do not need was not fetched
        for entry in tensors_of(path):
            if plans is None or any(wanted_by(entry.name, plan, tied=True) for plan in plans):
                _verify_tensor(entry, manifest)


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check configuration and tokenizer. Raises AppError CL-1104 naming the first that differs."""
    for name in PINNED:
        there = _file_hash(folder / name) if (folder / name).is_file() else None
        if there != manifest.files.get(name):
            raise _differs(f"The file {name}", name)


def verify_tensors(path: Path, manifest: Manifest) -> None:
    """Check every tensor of one file. Raises AppError CL-1104 naming the first that differs."""
    for entry in tensors_of(path):
        _verify_tensor(entry, manifest)


def _verify_tensor(entry: TensorEntry, manifest: Manifest) -> None:
    pin = manifest.tensors.get(entry.name)
    if pin is None or pin != TensorPin(entry.dtype, entry.shape, _tensor_hash(entry)):
        raise _differs(f"The tensor {entry.name}", entry.name)


def _differs(what: str, name: str) -> AppError:
    return AppError("CL-1104", f"{what} differs from the manifest of the base model.", details={"name": name})


def _bits(dtype: str) -> int:
    """Bits of a number, from safetensors' name of its format: BF16, F8_E4M3, BOOL."""
    found = re.search(r"\d+", dtype)
    return int(found[0]) if found else 8


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tensor_hash(entry: TensorEntry) -> str:
    """SHA-256 of a tensor's bytes as they lie in the file."""
    digest = hashlib.sha256()
    left = entry.length
    with entry.file.open("rb") as file:
        file.seek(entry.offset)
        while left and (chunk := file.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
    return digest.hexdigest()
