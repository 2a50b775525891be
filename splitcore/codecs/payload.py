"""A tensor in its encoded form. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


@dataclass(frozen=True, eq=False)
class Payload:
    """A tensor in its encoded form: made by `tensors.encode`, decoded by `tensors.decode`.

    `buffers` are those of the codec's format; the one of plain floats may lie in several pieces (see `protocol.parts`).
    """

    codec: str
    shape: tuple[int, ...]
    buffers: tuple[Buffer, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of the encoded tensor."""
        return sum(memoryview(buffer).nbytes for buffer in self.buffers)
