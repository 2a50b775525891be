"""Large tensors in parts: while one part is encrypted or checked, the next is copied or on its way.

A tensor of plain floats that is larger than PART follows the first frame of its message, one part a frame. How many
parts there are follows from its codec and shape, so a header says nothing of them. A part is small enough to stay in
a core's cache from one pass over it to the next, which a tensor of some megabytes in one piece is not. Torch-free.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from splitcore.codecs.payload import Payload
from splitcore.codecs.registry import FORMATS
from splitcore.wire.protocol.limits import TensorRule
from splitcore.wire.protocol.messages import FrameError, Message

PART = 1 << 20  # bytes
_PLAIN = frozenset({"fp32", "bf16"})  # one buffer, whose values can be checked part by part


def in_parts(codec: str, nbytes: int) -> bool:
    """Whether a tensor of `nbytes` encoded bytes comes in parts of its own."""
    return codec in _PLAIN and nbytes > PART


def most_frames(nbytes: int) -> int:
    """A bound of the number of frames of a message of `nbytes`, whatever its tensors are: half a part each at least."""
    return 2 + 2 * nbytes // PART


def parts_of(payload: Payload) -> Iterator[memoryview]:
    """The parts of a payload; each buffer that it holds is a multiple of PART, but for the last."""
    for buffer in payload.buffers:
        view = memoryview(buffer).cast("B")
        for start in range(0, view.nbytes, PART):
            yield view[start : start + PART]


@dataclass
class Pending:
    """A tensor of which parts are still to come."""

    name: str
    codec: str
    shape: tuple[int, ...]
    rule: TensorRule

    def __post_init__(self) -> None:
        (self.left,) = FORMATS[self.codec].sizes(self.shape)
        self.parts: list[memoryview] = []

    def add(self, part: memoryview) -> None:
        """Take the next part. Raises FrameError CL-1310, 1311."""
        if part.nbytes != min(PART, self.left):
            raise FrameError("CL-1310", details={"tensor": self.name})
        if not FORMATS[self.codec].within([part], self.rule.low, self.rule.high):
            raise FrameError("CL-1311", details={"tensor": self.name})
        self.left -= part.nbytes
        self.parts.append(part)


class Arriving:
    """A message whose first frame is here. It is complete when every part of its large tensors is."""

    def __init__(self, message: Message, pending: Iterable[Pending] = (), header_bytes: int = 0) -> None:
        self.header_bytes = header_bytes  # of its first frame
        self._message, self._pending, self._whole = message, deque(pending), dict(message.tensors)
        self.frames, self.nbytes = 0, 0

    @property
    def complete(self) -> bool:
        """Whether nothing of it is missing."""
        return not self._pending

    @property
    def message(self) -> Message:
        """The complete message."""
        return replace(self._message, tensors=self._whole)

    def count(self, nbytes: int) -> None:
        """One of its frames, of so many bytes, was taken in."""
        self.frames, self.nbytes = self.frames + 1, self.nbytes + nbytes

    def add(self, part: memoryview) -> None:
        """Take the next part. Raises FrameError CL-1310 where none is missing or its size is another, CL-1311."""
        if not self._pending:
            raise FrameError("CL-1310")
        tensor = self._pending[0]
        tensor.add(part)
        if not tensor.left:
            self._pending.popleft()
            self._whole[tensor.name] = Payload(tensor.codec, tensor.shape, tuple(tensor.parts))
