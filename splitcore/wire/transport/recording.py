"""A conversation's frames in a file, in the order in which one end saw them: what an observer of the wire holds.

Each entry is a byte (1: sent, 0: arrived), the frame's length as eight bytes, and the frame.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from splitcore.codecs.payload import Buffer
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.frames import FrameType
from splitcore.wire.protocol.incoming import Content, Incoming
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import FrameError, Message

ENTRY = struct.Struct("<?Q")


class Recording:
    """Writes a file of frames (see `Tap`)."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock, self._file = Lock(), path.open("wb")

    def frame(self, frame: Buffer, *, sent: bool) -> None:
        """See `Tap.frame`."""
        view = memoryview(frame)
        with self._lock:
            self._file.write(ENTRY.pack(sent, view.nbytes))
            self._file.write(view)

    def close(self) -> None:
        """Everything is in the file."""
        self._file.close()


def recorded_messages(path: Path, *, up: FrameLimits, down: FrameLimits, whole: bool = True) -> Iterator[Message]:
    """The messages of a recording, in the order in which they were complete.

    `up`: what the server accepts, of what was sent; `down`: what the client accepts. `whole`: as the session's, whether
    the checksum covers the tensors. Raises FrameError where the file holds no conversation of this run.
    """
    directions = {True: _Direction(up, whole), False: _Direction(down, whole)}
    with path.open("rb") as file:
        while head := file.read(ENTRY.size):
            if len(head) < ENTRY.size:
                raise FrameError("CL-1303", details={"bytes": len(head)})
            sent, nbytes = ENTRY.unpack(head)
            one = directions[sent]
            # a length that a damaged file tells takes no more memory than a frame of this run, and one byte too many
            yield from one.take(file.read(min(nbytes, one.max_frame_bytes + 1)))


class _Direction:
    """One direction's frames to messages. What was sent again is taken once."""

    def __init__(self, limits: FrameLimits, whole: bool) -> None:
        self._limits, self._whole, self.max_frame_bytes = limits, whole, limits.max_frame_bytes
        self._incoming = Incoming(most_bytes=sys.maxsize, most_headers=sys.maxsize)

    def take(self, frame: bytes) -> Iterator[Message]:
        prefix = frames.read_prefix(frame, self._limits.max_frame_bytes, whole=self._whole)
        content: Content
        if not self._incoming.is_new(prefix.sequence):
            return
        if prefix.type is FrameType.DATA:
            content = frames.decode(prefix, frame, self._limits)
        elif prefix.type is FrameType.MORE:
            content = frames.part_of(prefix, frame)
        else:
            return
        for arriving in self._incoming.take(prefix.sequence, content, len(frame)):
            self._incoming.taken(arriving)
            yield arriving.message
