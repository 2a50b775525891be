"""The receiving side of a session: numbered frames in, whole messages out, each once and in order."""

from __future__ import annotations

from splitcore.wire.messages import FrameError
from splitcore.wire.parts import Arriving

Content = Arriving | memoryview  # what a DATA frame begins, or a MORE frame continues


class Incoming:
    """What has arrived of a conversation. Not thread-safe: the session holds its lock."""

    def __init__(self) -> None:
        self.arrived = 0  # number of the last frame that came in order
        self._held: dict[int, tuple[Content, int]] = {}  # ahead of their turn, with the bytes of their frames
        self._open: Arriving | None = None
        self._reported_gap = 0

    def is_new(self, sequence: int) -> bool:
        """Whether the frame of that number has not come yet."""
        return sequence > self.arrived and sequence not in self._held

    def take(self, sequence: int, content: Content, nbytes: int) -> list[Arriving]:
        """Take in a new frame of so many bytes; the messages that it completes. Raises FrameError CL-1310, 1311."""
        self._held[sequence] = (content, nbytes)
        complete: list[Arriving] = []
        while self.arrived + 1 in self._held:
            self.arrived += 1
            message = self._append(*self._held.pop(self.arrived))
            if message.complete:
                complete.append(message)
                self._open = None
        return complete

    def finds_gap(self) -> bool:
        """Whether frames are missing before others that are here; true once for each gap."""
        if not self._held or self._reported_gap == self.arrived:
            return False
        self._reported_gap = self.arrived
        return True

    def _append(self, content: Content, nbytes: int) -> Arriving:
        """Put the next frame in order to its message."""
        if isinstance(content, Arriving):
            if self._open is not None:
                raise FrameError("CL-1310")  # the message before it lacks a part
            self._open = content
        elif self._open is None:
            raise FrameError("CL-1310")
        else:
            self._open.add(content)
        self._open.count(nbytes)
        return self._open
