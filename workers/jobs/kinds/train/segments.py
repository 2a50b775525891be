"""A trained segment as one file: its tensors, and in the safetensors header its PEFT configuration. Torch-free."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path

from splitcore.errors import AppError

TENSORS, CONFIG, DESCRIPTION = "adapter_model.safetensors", "adapter_config.json", "segment.json"


def pack_segment(folder: Path, target: Path) -> str:
    """Write `folder` (an engine's segment) as one safetensors file; returns its SHA-256. Raises AppError CL-1701."""
    try:
        with (folder / TENSORS).open("rb") as source:
            (length,) = struct.unpack("<Q", source.read(8))
            header = json.loads(source.read(length))
            header["__metadata__"] = {
                "format": "pt",
                "adapter_config": (folder / CONFIG).read_text(),
                "segment": (folder / DESCRIPTION).read_text(),
            }
            text = json.dumps(header, separators=(",", ":")).encode()
            text += b" " * (-len(text) % 8)  # the tensors stay aligned
            with target.open("wb") as out:
                out.write(struct.pack("<Q", len(text)) + text)
                shutil.copyfileobj(source, out, 1 << 20)
    except (FileNotFoundError, ValueError, struct.error) as error:
        raise AppError("CL-1701", f"The segment {folder.name} can't be read ({type(error).__name__}).") from None
    with target.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
