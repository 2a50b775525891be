"""The files of an adapter's segment: its tensors, its PEFT configuration, and what it is a part of (torch-free)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from splitcore.bounds import Short, Small, Text, Word, json_check, json_read, plain_line
from splitcore.errors import AppError

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
SEGMENT = "segment.json"
OBJECT_BYTES = 64 * 1024
PREFIX = "base_model.model."  # what PEFT puts before a module's own name
HEAD = "score"  # the one module that an adapter may bring as a whole: the head of a classifier
HEAD_KEY = f"{PREFIX}{HEAD}.weight"


@dataclass(frozen=True)
class SegmentInfo:
    """What a segment's folder says about itself."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    role: Word
    start: Small
    end: Small
    total: Small
    party: Word
    step: Small
    model: Text
    revision: Short | None
    manifest: Short | None

    @classmethod
    def read(cls, folder: Path) -> SegmentInfo:
        """Read `segment.json`. Raises AppError CL-1106."""
        try:
            return _INFO.validate_json(json.dumps(read_object(folder / SEGMENT)), strict=True)
        except ValidationError as error:
            field = ".".join(str(part)[:40] for part in error.errors()[0]["loc"])
            raise AppError("CL-1106", f"{SEGMENT} of a segment has no usable field {plain_line(field)}.") from None


_INFO = TypeAdapter(SegmentInfo)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object of a segment, of a bounded size. Raises AppError CL-1106."""
    try:
        with path.open("rb") as file:
            text = file.read(OBJECT_BYTES + 1)
        if len(text) > OBJECT_BYTES:
            raise AppError("CL-1106", f"{path.name} of a segment is larger than {OBJECT_BYTES} bytes.")
        data = json_check(json_read(text.decode()))
    except (OSError, ValueError):
        raise AppError("CL-1106", f"{path.name} of a segment can't be read.") from None
    if not isinstance(data, dict):
        raise AppError("CL-1106", f"{path.name} of a segment doesn't contain a JSON object.")
    return data


def _nothing() -> None:
    """Nobody listens."""


def write_folder(
    folder: Path, files: Mapping[str, bytes | Iterable[bytes]], *, between: Callable[[], None] = _nothing
) -> None:
    """Write a folder's files so that a reader sees all of them or none, after a power cut too; replaces what was there.

    A file's content may come in pieces. `between` is called after each file.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        for name, content in files.items():
            with (partial / name).open("wb") as file:
                for piece in [content] if isinstance(content, bytes) else content:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            between()
        _sync(partial)
    except (OSError, AppError):
        shutil.rmtree(partial, ignore_errors=True)  # on a full disk it would hold the last of the room
        raise
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    partial.rename(folder)
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Bring a folder's list of names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def json_bytes(data: Any) -> bytes:
    """JSON for people and machines."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def segment_files(info: SegmentInfo, config: Mapping[str, Any], weights: bytes) -> dict[str, bytes]:
    """The three files of a segment."""
    return {WEIGHTS: weights, CONFIG: json_bytes(dict(config)), SEGMENT: json_bytes(asdict(info))}
