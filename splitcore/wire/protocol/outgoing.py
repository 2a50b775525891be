"""The sending side of a session: numbered frames, kept until the other end has them, within the credit that it gives.

Two counts go apart: what has *arrived* is kept no longer, and what the other application has *taken* makes room for
more. What leaves goes in the order of its number; after a break or a loss it goes on from what arrived.
"""

from __future__ import annotations

from dataclasses import dataclass

from splitcore.wire.protocol.frames import Encoded

AGAIN = "sent again"  # the label of a frame that leaves not for the first time


@dataclass(frozen=True)
class Window:
    """How much may be under way to an application that has not taken it yet; one message always may."""

    frames: int = 1024
    bytes: int = 1 << 30


class Outgoing:
    """What is still to leave a conversation, or to arrive. Not thread-safe: the session holds its lock."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self.next = 1  # number of the next frame
        self.taken = 0  # number of the last frame that the other application has taken
        self._cursor = 1  # number of the frame that leaves next
        self.furthest = 0  # number of the last frame that has left
        self._kept: dict[int, bytes] = {}
        self._labels: dict[int, str] = {}  # of the frames that are kept
        self._under_way: dict[int, int] = {}  # bytes of the frames that are not taken

    @property
    def waits(self) -> bool:
        """Whether frames are here of which it is not known that they arrived."""
        return bool(self._kept)

    @property
    def is_behind(self) -> bool:
        """Whether frames are here that have yet to leave."""
        return self._cursor < self.next

    def has_room(self, encoded: Encoded) -> bool:
        """Whether the other end's credit reaches for a message; where nothing is under way it always does."""
        if not self._under_way:
            return True
        count, total = len(self._under_way), sum(self._under_way.values())
        return count + encoded.count <= self.window.frames and total + encoded.nbytes <= self.window.bytes

    def keep(self, frame: bytes, label: str) -> None:
        """Give a frame the next number."""
        self._kept[self.next], self._labels[self.next] = frame, label
        self._under_way[self.next] = len(frame)
        self.next += 1

    def following(self) -> tuple[bytes, str] | None:
        """The frame that leaves now, with its message's label, or that it goes once more; None where none is left."""
        while self._cursor < self.next:
            self._cursor += 1
            frame = self._kept.get(self._cursor - 1)
            if frame is not None:
                return frame, self._label_of(self._cursor - 1)
        return None

    def _label_of(self, sequence: int) -> str:
        if sequence <= self.furthest:
            return AGAIN
        self.furthest = sequence
        return self._labels.get(sequence, AGAIN)

    def acknowledge(self, arrived: int, taken: int) -> None:
        """The other end has all frames up to `arrived`, and its application has taken those up to `taken`."""
        for sequence in [kept for kept in self._kept if kept <= arrived]:
            del self._kept[sequence]
            self._labels.pop(sequence, None)
        for sequence in [flying for flying in self._under_way if flying <= taken]:
            del self._under_way[sequence]
        self.taken = max(self.taken, taken)
        self._cursor = max(self._cursor, arrived + 1)

    def can_resume(self, arrived: int) -> bool:
        """Whether a conversation whose other end has our frames up to `arrived` can be this one."""
        return arrived < self.next and (arrived + 1 == self.next or arrived + 1 in self._kept)

    def go_back(self, arrived: int) -> None:
        """Send once more all that comes after `arrived`."""
        self._cursor = min(self._cursor, arrived + 1)

    def forget(self) -> None:
        """Keep nothing: the conversation is over."""
        self._kept.clear()
        self._labels.clear()
