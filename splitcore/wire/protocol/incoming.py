"""The receiving side of a session: numbered frames in, whole messages out, each once and in order.

It also bounds what a peer that ignores the window can make this end hold: the bytes of all frames that are here and not
taken by the application, whether they are in order or not, and the bytes of their headers, whose JSON takes many times
its size once it is read.
"""

from __future__ import annotations

from splitcore.wire.protocol.messages import FrameError
from splitcore.wire.protocol.parts import Arriving

Content = Arriving | memoryview  # what a DATA frame begins, or a MORE frame continues
MOST_HEADERS = 1 << 22  # bytes of headers that are held, beside the largest one: an honest one has some hundred


class Incoming:
    """What has arrived of a conversation. Not thread-safe: the session holds its lock."""

    def __init__(self, most_bytes: int, most_headers: int = MOST_HEADERS) -> None:
        """`most_bytes`: of frames that have come and are not taken; more of them are a breach of the window."""
        self.arrived = 0  # number of the last frame that came in order
        self.consumed = 0  # number of the last frame that the application has taken
        self.held_bytes, self._held_headers = 0, 0
        self._told, self._untold_bytes = 0, 0
        self._most_bytes, self._most_headers = most_bytes, most_headers
        self._held: dict[int, tuple[Content, int]] = {}  # ahead of their turn, with the bytes of their frames
        self._open: Arriving | None = None
        self._reported_gap = 0

    def is_new(self, sequence: int) -> bool:
        """Whether the frame of that number has not come yet."""
        return sequence > self.arrived and sequence not in self._held

    def take(self, sequence: int, content: Content, nbytes: int) -> list[Arriving]:
        """Take in a new frame of so many bytes; the messages that it completes.

        Raises FrameError CL-1310, 1311, and CL-1312 where more is held with it than the other end may have under way.
        """
        self.held_bytes += nbytes
        self._held_headers += _header_bytes(content)
        if self.held_bytes > self._most_bytes or self._held_headers > self._most_headers:
            raise FrameError("CL-1312", details={"held": self.held_bytes, "allowed": self._most_bytes})
        self._held[sequence] = (content, nbytes)
        complete: list[Arriving] = []
        while self.arrived + 1 in self._held:
            self.arrived += 1
            message = self._append(*self._held.pop(self.arrived))
            if message.complete:
                complete.append(message)
                self._open = None
        return complete

    def taken(self, message: Arriving) -> None:
        """The application has taken a message: its frames are held no more."""
        self.held_bytes -= message.nbytes
        self._held_headers -= message.header_bytes
        self.consumed += message.frames
        self._untold_bytes += message.nbytes

    def tell(self) -> int:
        """What the application has taken, for a frame that is about to tell it."""
        self._told, self._untold_bytes = self.consumed, 0
        return self.consumed

    def owes(self, count: int, window: int) -> bool:
        """Whether so many frames, or half of the window's bytes, were taken and are not told."""
        return self.consumed - self._told >= count or self._untold_bytes * 2 >= window

    def drop(self) -> None:
        """Forget what is here: the conversation has failed, and nobody will take it."""
        self._held.clear()
        self._open = None
        self.held_bytes = self._held_headers = 0

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


def _header_bytes(content: Content) -> int:
    return content.header_bytes if isinstance(content, Arriving) else 0
