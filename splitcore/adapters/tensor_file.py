"""A safetensors file of LoRA weights, one tensor at a time: no more than one is in memory, however large the file.

Torch-free. Shapes: A is rank × inputs, B is outputs × rank, a classification head is labels × width.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from splitcore.adapters.segments import HEAD, HEAD_KEY, PREFIX, WEIGHTS
from splitcore.errors import AppError

KEY = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]{1,300})\.lora_(?P<part>[AB])\.weight")
WHOLE = "whole"
Shape = tuple[int, int]


@dataclass(frozen=True)
class TensorFile:
    """The shapes of a segment's tensors, by name, and where they lie."""

    path: Path
    shapes: dict[str, Shape]

    @classmethod
    def open(cls, path: Path) -> TensorFile:
        """Read the header: only fp32 matrices of LoRA, every A with its B, and a head. Raises AppError CL-1106."""
        try:
            with safe_open(path, framework="numpy") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
                shapes = {name: (one.get_dtype(), tuple(one.get_shape())) for name, one in slices.items()}
        except (OSError, SafetensorError, ValueError, TypeError):
            raise AppError("CL-1106", f"{WEIGHTS} of a segment can't be read.") from None
        for name, (dtype, shape) in shapes.items():
            if name != HEAD_KEY and not KEY.fullmatch(name):
                raise AppError("CL-1106", "A segment contains a tensor that isn't a LoRA weight.")
            if dtype != "F32" or len(shape) != 2 or 0 in shape:
                raise AppError("CL-1106", f"The tensor {name} isn't a float32 matrix.", details={"name": name})
        found = cls(path, {name: (shape[0], shape[1]) for name, (_, shape) in shapes.items()})
        _check_pairs(found.shapes)
        return found

    def values(self) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
        """The tensors, one after another, each checked to be finite. Raises AppError CL-1106."""
        with safe_open(self.path, framework="numpy") as file:
            for name in sorted(self.shapes):
                value = file.get_tensor(name)
                if not np.isfinite(value).all():
                    raise AppError("CL-1106", f"The tensor {name} contains NaN or infinite values.")
                yield name, value


def module_of(name: str) -> tuple[str, str]:
    """Module and part (A, B, or whole for a head) of a tensor's name that was checked before."""
    if name == HEAD_KEY:
        return HEAD, WHOLE
    match = KEY.fullmatch(name)
    if match is None:
        raise AppError("CL-1106", "A segment contains a tensor that isn't a LoRA weight.")
    return match["module"], match["part"]


def _check_pairs(shapes: Mapping[str, Shape]) -> None:
    """Every A (rank × in) needs its B (out × rank)."""
    for name, shape in shapes.items():
        module, part = module_of(name)
        if part == WHOLE:
            continue
        other = f"{PREFIX}{module}.lora_{'B' if part == 'A' else 'A'}.weight"
        if other not in shapes:
            raise AppError(
                "CL-1106", f"The tensor {name} has no counterpart: {other} is missing.", details={"name": name}
            )
        if part == "A" and shape[0] != shapes[other][1]:
            raise AppError("CL-1106", f"The shapes of {name} and its counterpart don't match.", details={"name": name})


def file_of(parts: Mapping[str, TensorFile]) -> Iterator[bytes]:
    """One safetensors file made of tensors (name → the file that holds it), in pieces, in the order of the names."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(parts):
        rows, columns = parts[name].shapes[name]
        start, end = end, end + rows * columns * 4
        header[name] = {"dtype": "F32", "shape": [rows, columns], "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors stay aligned
    yield len(text).to_bytes(8, "little") + text
    # Files are read in turn; a name belongs to one file, and each file's names come in order.
    opened = {id(part): part.values() for part in parts.values()}
    for name in sorted(parts):
        for found, value in opened[id(parts[name])]:
            if found == name:
                yield value.astype("<f4", copy=False).tobytes()
                break
