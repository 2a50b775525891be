"""Taking a segment from a worker: streamed to disk, hashed, and judged by its header, without torch."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings

from splitcore.adapters.segments import HEAD_KEY
from splitcore.bounds import is_plain, json_read
from splitcore.errors import AppError

MAX_HEADER = 1024 * 1024
MAX_SIDE = 2**31
_SIZES = {"F32": 4}


def media_path(relative: str) -> Path:
    """A stored path below MEDIA_ROOT as a full one."""
    return Path(settings.MEDIA_ROOT) / relative


def receive(stream: Iterable[bytes], folder: Path, limit: int) -> tuple[Path, str, int]:
    """Write a stream to a temporary file of `folder`: its path, SHA-256 and size. Raises CL-1801 beyond `limit`."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=".incoming-")
    digest, size = hashlib.sha256(), 0
    try:
        with os.fdopen(handle, "wb") as file:
            for chunk in stream:
                size += len(chunk)
                if size > limit:
                    raise AppError("CL-1801", f"The upload is larger than {limit} bytes.")
                digest.update(chunk)
                file.write(chunk)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name), digest.hexdigest(), size


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """A safetensors file's header and the bytes that follow it. Raises CL-1702."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 10 or not 2 <= length <= min(MAX_HEADER, size - 8):
            raise AppError("CL-1702", "The file has no safetensors header.")
        try:
            header = json_read(file.read(length).decode())
        except ValueError:
            raise AppError("CL-1702", "The file's safetensors header isn't JSON.") from None
    if not isinstance(header, dict):
        raise AppError("CL-1702", "The file's safetensors header isn't an object.")
    return header, size - 8 - length


def read_header(path: Path, *, most_tensors: int, classes: int = 0) -> dict[str, dict[str, Any]]:
    """The tensors that a safetensors file announces, checked against its size. Raises CL-1702.

    `classes`: the labels of the contract's task, of which a classification head may have a row each.
    """
    header, data_bytes = _header(path)
    _texts(header)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    if len(tensors) > most_tensors:
        raise AppError(
            "CL-1702", f"The file announces {len(tensors)} tensors; the contract has at most {most_tensors}."
        )
    _check_layout(tensors, data_bytes, classes)
    return tensors


def read_metadata(path: Path) -> dict[str, str]:
    """The texts in a safetensors file's header. Raises CL-1702."""
    return _texts(_header(path)[0])


def _texts(header: dict[str, Any]) -> dict[str, str]:
    """The metadata of a header, where all of it and the tensors' names can be written to a file. Raises CL-1702."""
    found = header.get("__metadata__") or {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise AppError("CL-1702", "The metadata in the file's safetensors header isn't text.")
    if not all(is_plain(text) for text in (*header, *found, *found.values())):
        raise AppError("CL-1702", "A text in the file's safetensors header has control characters or broken Unicode.")
    return found


def _check_layout(tensors: dict[str, Any], data_bytes: int, classes: int) -> None:
    """Known number formats, sizes that fit the shapes, no gap, no overlap; only LoRA matrices and a head, by name."""
    end = 0
    try:
        entries = sorted(tensors.items(), key=lambda item: item[1]["data_offsets"][0])
        for name, entry in entries:
            start, stop = entry["data_offsets"]
            wanted = _elements(entry["shape"]) * _SIZES[entry["dtype"]]
            if start != end or stop - start != wanted or wanted <= 0:
                raise AppError("CL-1702", f"The tensor {name[:120]} doesn't match its announced position.")
            if "lora_" not in name and (name != HEAD_KEY or entry["shape"][0] != classes):
                raise AppError("CL-1702", f"The tensor {name[:120]} isn't part of an adapter.")
            end = stop
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise AppError("CL-1702", "The file's safetensors header is malformed.") from None
    if end != data_bytes or not tensors:
        raise AppError("CL-1702", "The file's size doesn't match its header.")


def _elements(shape: Any) -> int:
    """Elements of a matrix. The number of dimensions is looked at before anything is multiplied. Raises ValueError."""
    if not isinstance(shape, list) or len(shape) != 2:
        raise ValueError("not a matrix")
    rows, columns = shape
    if not all(type(side) is int and 1 <= side <= MAX_SIDE for side in (rows, columns)):
        raise ValueError("not a matrix")
    return int(rows * columns)
