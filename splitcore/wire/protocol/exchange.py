"""The frames of a conversation: which one leaves next, what an arriving one means, and what has to leave again.

Numbers and credit are kept by `Outgoing` and `Incoming`: sent frames until the other end has them, and what the other
*application* has not taken yet. What comes beyond the window and one message more ends the conversation. An answer says
what was taken; a frame of its own does so only where no answer comes before this end waits again, or where half of the
window is used up.
"""

from __future__ import annotations

from collections import deque
from time import monotonic

from splitcore.codecs.payload import Buffer
from splitcore.errors import CATALOGUE
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.frames import FrameType, Prefix
from splitcore.wire.protocol.incoming import MOST_HEADERS, Content, Incoming
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import FrameError, PeerError
from splitcore.wire.protocol.outgoing import Outgoing, Window
from splitcore.wire.protocol.parts import Arriving, most_frames

CONTROL = "control"  # the label of frames that bring no message
DAMAGE_IN_A_ROW = 50  # damaged frames without a good one between, after which the connection is given up


class Exchange:
    """Frames both ways. Not thread-safe: the session holds its lock."""

    def __init__(self, limits: FrameLimits, window: Window) -> None:
        self.outgoing = Outgoing(window)
        largest = limits.max_frame_bytes + frames.PREFIX.size * most_frames(limits.max_frame_bytes)
        self.incoming = Incoming(window.bytes + largest, MOST_HEADERS + limits.max_header_bytes)
        self.inbox: deque[Arriving] = deque()
        self.last: int | None = None  # number of the other end's last frame, once it has said that there is no more
        self._window, self._most_frames = window, max(window.frames, most_frames(limits.max_frame_bytes))
        self._due: dict[FrameType, bytes] = {}
        self._progress, self._damaged = monotonic(), 0

    # ---- what leaves

    def owe(self, type_: FrameType, text: bytes = b"") -> None:
        """Have a frame of that type leave as soon as the connection is free."""
        self._due[type_] = text

    def is_due(self, type_: FrameType) -> bool:
        """Whether a frame of that type has yet to leave."""
        return type_ in self._due

    def owe_acknowledgement(self, count: int) -> bool:
        """Whether a frame must tell what was taken: `count` frames or half of the window's bytes are untold."""
        if not self.incoming.owes(count, self._window.bytes):
            return False
        self.owe(FrameType.ACK)
        return True

    def owe_probe(self, after: float) -> bool:
        """Where nothing was heard for so many seconds, ask what the other end has: frames may have been swallowed."""
        if not self.outgoing.waits or monotonic() - self._progress < after:
            return False
        self._progress = monotonic()
        self.owe(FrameType.PROBE)
        return True

    def keep(self, frame: bytes, label: str) -> None:
        """Give a frame its place among those that leave."""
        if not self.outgoing.waits:
            self._progress = monotonic()
        self.outgoing.keep(frame, label)

    def following(self, *, only_end: bool = False) -> tuple[bytes, str] | None:
        """The frame that leaves now, and what it is. `only_end`: of a failed conversation only the word of that."""
        code = self._due.pop(FrameType.ABORT, None)
        if code is not None:
            return frames.encode_bare(FrameType.ABORT, 0, header=code), CONTROL
        if only_end:
            return None
        for type_ in (FrameType.RESEND, FrameType.ACK):
            if self._due.pop(type_, None) is not None:
                self._due.pop(FrameType.ACK, None)
                return frames.encode_bare(type_, self.incoming.arrived, self.incoming.tell()), CONTROL
        following = self.outgoing.following()
        if following is not None:
            return following
        for type_ in (FrameType.PROBE, FrameType.FIN):
            if self._due.pop(type_, None) is not None:
                return frames.encode_bare(type_, self.outgoing.next - 1), CONTROL
        return None

    # ---- what arrives

    @property
    def is_heard_out(self) -> bool:
        """Whether all has come that the other end will ever send."""
        return self.last is not None and self.incoming.arrived >= self.last

    def resume(self, peer_arrived: int) -> None:
        """Go on over a new connection, whose other end has our frames up to that. Raises FrameError CL-1305."""
        if not self.outgoing.can_resume(peer_arrived):
            raise FrameError("CL-1305")
        self._acknowledge(peer_arrived, self.outgoing.taken)
        self.outgoing.go_back(peer_arrived)
        self.owe(FrameType.ACK)

    def take(self, prefix: Prefix, data: Buffer, content: Content | None) -> list[Arriving]:
        """Take in a frame; returns the messages that it completes, which are in the inbox then.

        Raises FrameError for a breach of the protocol, PeerError where the other end says that it stops.
        """
        self._damaged = 0
        if prefix.type in (FrameType.DATA, FrameType.MORE):
            if prefix.credit >= self.outgoing.next:
                raise FrameError("CL-1312")
            self._acknowledge(prefix.credit, prefix.credit)
            return self._take_content(prefix.sequence, content, memoryview(data).nbytes)
        if prefix.type in (FrameType.ACK, FrameType.RESEND):
            if prefix.credit > prefix.sequence or prefix.sequence >= self.outgoing.next:
                raise FrameError("CL-1312")
            self._acknowledge(prefix.sequence, prefix.credit)
            if prefix.type is FrameType.RESEND:
                self.outgoing.go_back(prefix.sequence)
        elif prefix.type is FrameType.PROBE:
            self.owe(FrameType.RESEND if prefix.sequence > self.incoming.arrived else FrameType.ACK)
        elif prefix.type is FrameType.FIN:
            self.last = prefix.sequence
        else:
            code = frames.read_abort(prefix, data)
            raise PeerError(code if code in CATALOGUE else "CL-1329")
        return []

    def take_damaged(self, error: FrameError) -> None:
        """Damage is a loss: ask again. Too much of it in a row, or another version, is a failure, raised."""
        self._damaged += 1
        if error.code in ("CL-1302", "CL-1304") or self._damaged > DAMAGE_IN_A_ROW:
            raise error
        self.owe(FrameType.RESEND)

    def drop(self) -> None:
        """Forget what is here: the conversation has failed, and nobody will take it."""
        self.inbox.clear()
        self.incoming.drop()

    def _take_content(self, sequence: int, content: Content | None, nbytes: int) -> list[Arriving]:
        if content is None or not self.incoming.is_new(sequence):
            self.owe(FrameType.ACK)  # a repetition: the other end missed our acknowledgement
            return []
        if sequence > self.incoming.consumed + self._most_frames + 1:
            raise FrameError("CL-1312")
        complete = self.incoming.take(sequence, content, nbytes)
        self.inbox += complete
        if self.incoming.finds_gap():
            self.owe(FrameType.RESEND)
        return complete

    def _acknowledge(self, arrived: int, taken: int) -> None:
        self.outgoing.acknowledge(arrived, taken)
        self._progress = monotonic()
