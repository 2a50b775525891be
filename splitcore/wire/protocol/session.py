"""One conversation, whatever carries it: how it begins, breaks, goes on and ends, and who waits for what.

A session outlives its connections. A transport attaches, asks `next_frame` for what to send, gives `deliver` what
arrived, and detaches; the next one goes on where it stopped. Numbers and credit are kept by `Outgoing` and `Incoming`:
sent frames until the other end has them, and what the other *application* has not taken yet, so that a slow half holds
its sender back without ever blocking the thread that reads acknowledgements. What comes beyond the window and one
message more ends the conversation. An answer tells what was taken; a frame of its own does so only where no answer
comes before this end waits again, or where half of the window is used up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from threading import Condition, Event, Lock, RLock
from time import monotonic

from splitcore.codecs.payload import Buffer
from splitcore.errors import CATALOGUE, AppError
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.channel import SLICE, Closing, Traffic
from splitcore.wire.protocol.egress import Egress
from splitcore.wire.protocol.frames import FrameType, Prefix
from splitcore.wire.protocol.incoming import MOST_HEADERS, Content, Incoming
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import ChannelError, FrameError, Message, PeerError, SessionIds
from splitcore.wire.protocol.outgoing import Outgoing, Window
from splitcore.wire.protocol.parts import Arriving, most_frames

CONTROL = "control"  # the label of frames that bring no message
DAMAGE_IN_A_ROW = 50  # damaged frames without a good one between, after which the connection is given up


class Session(Closing):
    """A `Channel` without a wire; see the module's text. Thread-safe."""

    def __init__(
        self,
        limits: FrameLimits,
        *,
        window: Window | None = None,
        patience: float = 120.0,
        probe_after: float = 1.0,
        authentic: bool = False,
        egress: Egress | None = None,
    ) -> None:
        """`patience`: seconds without a connection until the session is lost. `probe_after`: see `_nudge`.

        `authentic`: the transport proves every byte (TLS), so the checksum spares the tensors.
        `egress`: who counts what leaves, and may refuse a message before any of it is queued.
        """
        self.sent, self.received = Traffic(), Traffic()
        self.on_output: Callable[[], None] = lambda: None  # called, without locks held, when `next_frame` has something
        self._limits, self._window = limits, window or Window()
        self._patience, self._probe_after = patience, probe_after
        lock = RLock()
        # one lock, and each side of it woken by its own news: the application, and the thread that transmits
        self._state, self._output, self._sending = Condition(lock), Condition(lock), Lock()
        self._whole, self._egress = not authentic, egress
        self._listeners: set[Event] = set()
        self._generation, self._attached, self._since = 0, False, monotonic()
        self._failure: AppError | None = None
        self._over = self._closing = False
        self._outgoing, self._progress = Outgoing(self._window), monotonic()
        self._due: dict[FrameType, bytes] = {}
        largest = limits.max_frame_bytes + frames.PREFIX.size * most_frames(limits.max_frame_bytes)
        self._incoming = Incoming(self._window.bytes + largest, MOST_HEADERS + limits.max_header_bytes)
        self._damaged = 0
        self._inbox: deque[Arriving] = deque()
        self._most_frames = max(self._window.frames, most_frames(limits.max_frame_bytes))
        self._last: int | None = None

    # ---- the application's side

    @property
    def session(self) -> SessionIds:
        """Run, participant and attempt of this conversation."""
        return self._limits.session

    @property
    def over(self) -> bool:
        """Whether the conversation has ended, well or badly."""
        return self._over or self._failure is not None

    @property
    def ending(self) -> bool:
        """Whether one end has said, or is saying, that it has no more: a connection that ends now is no break."""
        return self.over or self._closing or self._last is not None

    @property
    def arrived(self) -> int:
        """Number of the last frame that came in order."""
        return self._incoming.arrived

    def send(self, message: Message, *, timeout: float | None = None) -> int:
        """See `Channel.send`."""
        self._limits.check_sent(message)
        with self._sending:
            stamped = replace(message, session=self.session)
            with self._state:
                credit = self._incoming.tell()
            most = self._limits.max_frame_bytes
            encoded = frames.encode(
                stamped, self._outgoing.next, max_frame_bytes=most, credit=credit, whole=self._whole
            )
            with self._state:
                self._wait(lambda: self._outgoing.has_room(encoded), timeout, "send", "CL-1331")
                if self._egress is not None:
                    self._egress.admit(encoded.nbytes)
            for frame in encoded.frames:  # each is on its way while the next one is made
                self._keep(frame, message.label)
            with self._state:
                self.sent.count_message(message, encoded.nbytes)
        self.on_output()
        return encoded.nbytes

    def receive(self, *, timeout: float | None = None) -> Message:
        """See `Channel.receive`."""
        with self._state:
            idle = not self._inbox and self._owe_acknowledgement(1)
        if idle:
            self.on_output()
        with self._state:
            self._wait(lambda: bool(self._inbox), timeout, "receive", "CL-1327")
            arrived = self._inbox.popleft()
            self._incoming.taken(arrived)
            owed = self._owe_acknowledgement(max(1, self._window.frames // 2))
        if owed:
            self.on_output()
        return arrived.message

    def ready(self) -> bool:
        """See `Channel.ready`."""
        with self._state:
            self._check_patience()
            ready = bool(self._inbox) or self._failure is not None or self._over or self._peer_is_done()
            nudged = not ready and (self._owe_acknowledgement(1) or self._nudge())
        if nudged:
            self.on_output()
        return ready

    def subscribe(self, event: Event) -> None:
        """See `Channel.subscribe`."""
        with self._state:
            self._listeners.add(event)

    def unsubscribe(self, event: Event) -> None:
        """See `Channel.unsubscribe`."""
        with self._state:
            self._listeners.discard(event)

    def close(self, *, timeout: float = 5.0) -> None:
        """See `Channel.close`."""
        deadline = monotonic() + timeout
        with self._state:
            self._closing = True
            if self.over:
                self._finish()
                return
            self._owe_acknowledgement(1)  # the other end may be waiting for it alone
            if self._outgoing.waits:  # ask what arrived, since acknowledgements wait for the application
                self._owe(FrameType.PROBE)
        self.on_output()
        self._drain(lambda: not self._outgoing.waits or self._last is not None, deadline)
        with self._state:
            self._owe(FrameType.FIN)
        self.on_output()
        self._drain(lambda: FrameType.FIN not in self._due or self._has_left(), deadline)
        self._leave(deadline)

    def abort(self, code: str) -> None:
        """See `Channel.abort`."""
        self.fail(ChannelError("CL-1328", "This half ended the conversation."), tell=code)
        deadline = monotonic() + 2.0
        self._drain(lambda: FrameType.ABORT not in self._due, deadline)
        self._leave(deadline)

    # ---- the transport's side

    def attach(self, peer_arrived: int = 0) -> tuple[int, int]:
        """A new connection stands, whose other end has our frames up to `peer_arrived`: (generation, what we have).

        Raises FrameError CL-1305 when the other end is not the one that this conversation was begun with.
        """
        with self._state:
            if not self._outgoing.can_resume(peer_arrived):
                raise FrameError("CL-1305")
            self._generation += 1
            self._attached = True
            self._acknowledge(peer_arrived, self._outgoing.taken)
            self._outgoing.go_back(peer_arrived)
            self._owe(FrameType.ACK)
            return self._generation, self._incoming.arrived

    def detach(self, generation: int) -> None:
        """The connection of that generation is gone."""
        with self._state:
            if generation == self._generation and self._attached:
                self._attached, self._since = False, monotonic()
                self._announce()

    def fail(self, error: AppError, *, tell: str = "") -> None:
        """End the conversation with an error that every caller meets; `tell` the other end that code."""
        with self._state:
            if self.over:
                return
            self._fail_with(error)
            if tell and self._attached:
                self._owe(FrameType.ABORT, tell.encode())
        self.on_output()

    def lost(self) -> bool:
        """Whether the conversation is over or has been without a connection for longer than `patience`."""
        with self._state:
            self._check_patience()
            return self.over

    def next_frame(self, generation: int, *, wait: bool = True) -> bytes | None:
        """The next frame to transmit; None when this connection has no more (or, without `wait`, nothing now)."""
        picked = self._next_picked(generation, wait)
        if picked is None:
            return None
        frame, label = picked
        if self._egress is not None:
            try:
                self._egress.leaves(label, frame, frames.PREFIX.size + frames.header_size(frame))
            except AppError as error:  # what is sent again counts as often as it leaves
                self.fail(error, tell=error.code)
                return self.next_frame(generation, wait=wait)
        return frame

    def _next_picked(self, generation: int, wait: bool) -> tuple[bytes, str] | None:
        with self._state:
            while True:
                if generation != self._generation or not self._attached or self._over:
                    return None
                picked = self._pick()
                if picked is not None:
                    self.sent.count_frame(len(picked[0]))
                    return picked
                if self._failure is not None or not wait:
                    return None
                self._output.wait()

    def deliver(self, generation: int, data: Buffer) -> None:
        """Take in a frame; whatever is wrong with it ends up in `receive`, never here."""
        if self.over:
            return
        try:
            prefix = frames.read_prefix(data, self._limits.max_frame_bytes, whole=self._whole)
        except FrameError as error:
            self._on_damage(generation, error)
            return
        content: Content | None = None
        try:
            if prefix.type is FrameType.DATA and self._is_new(prefix.sequence):
                content = frames.decode(prefix, data, self._limits)  # the costly part, without the lock
            elif prefix.type is FrameType.MORE and self._is_new(prefix.sequence):
                content = frames.part_of(prefix, data)
            with self._state:
                if generation != self._generation or self.over:
                    return
                self._damaged = 0
                self.received.count_frame(memoryview(data).nbytes)
                self._on_frame(prefix, data, content)
        except FrameError as error:
            self.fail(error, tell=error.code)
        self.on_output()

    # ---- inside, the lock held

    def _owe_acknowledgement(self, count: int) -> bool:
        """Whether a frame must tell what was taken: `count` frames or half of the window's bytes are untold."""
        if not self._incoming.owes(count, self._window.bytes):
            return False
        self._owe(FrameType.ACK)
        return True

    def _pick(self) -> tuple[bytes, str] | None:
        """The next frame and what it is."""
        if FrameType.ABORT in self._due:
            self._state.notify_all()
            return frames.encode_bare(FrameType.ABORT, 0, header=self._due.pop(FrameType.ABORT)), CONTROL
        if self._failure is not None:
            return None
        for type_ in (FrameType.RESEND, FrameType.ACK):
            if self._due.pop(type_, None) is not None:
                self._due.pop(FrameType.ACK, None)
                return frames.encode_bare(type_, self._incoming.arrived, self._incoming.tell()), CONTROL
        following = self._outgoing.following()
        if following is not None:
            return following
        for type_ in (FrameType.PROBE, FrameType.FIN):
            if self._due.pop(type_, None) is not None:
                self._state.notify_all()  # whoever closes waits for it to be out
                return frames.encode_bare(type_, self._outgoing.next - 1), CONTROL
        return None

    def _on_frame(self, prefix: Prefix, data: Buffer, content: Content | None) -> None:
        if prefix.type in (FrameType.DATA, FrameType.MORE):
            if prefix.credit >= self._outgoing.next:
                raise FrameError("CL-1312")
            self._acknowledge(prefix.credit, prefix.credit)
            self._on_data(prefix.sequence, content, memoryview(data).nbytes)
        elif prefix.type in (FrameType.ACK, FrameType.RESEND):
            if prefix.credit > prefix.sequence or prefix.sequence >= self._outgoing.next:
                raise FrameError("CL-1312")
            self._acknowledge(prefix.sequence, prefix.credit)
            if prefix.type is FrameType.RESEND:
                self._outgoing.go_back(prefix.sequence)
        elif prefix.type is FrameType.PROBE:
            self._owe(FrameType.RESEND if prefix.sequence > self._incoming.arrived else FrameType.ACK)
        elif prefix.type is FrameType.FIN:
            self._last = prefix.sequence
            self._announce()
        else:
            code = frames.read_abort(prefix, data)
            self._fail_with(PeerError(code if code in CATALOGUE else "CL-1329"))

    def _on_data(self, sequence: int, content: Content | None, nbytes: int) -> None:
        if content is None or not self._incoming.is_new(sequence):
            self._owe(FrameType.ACK)  # a repetition: the other end missed our acknowledgement
            return
        if sequence > self._incoming.consumed + self._most_frames + 1:
            raise FrameError("CL-1312")
        complete = self._incoming.take(sequence, content, nbytes)
        for one in complete:
            self.received.count_message(one.message, one.nbytes)
        self._inbox += complete
        if self._incoming.finds_gap():
            self._owe(FrameType.RESEND)
        if complete:
            self._announce()

    def _acknowledge(self, arrived: int, taken: int) -> None:
        self._outgoing.acknowledge(arrived, taken)
        self._progress = monotonic()
        self._state.notify_all()

    def _on_damage(self, generation: int, error: FrameError) -> None:
        """Damage is a loss: ask again. Too much of it, or another version, is a failure."""
        with self._state:
            if generation != self._generation:
                return
            self._damaged += 1
            fatal = error.code in ("CL-1302", "CL-1304") or self._damaged > DAMAGE_IN_A_ROW
            if not fatal:
                self._owe(FrameType.RESEND)
        if fatal:
            self.fail(error, tell=error.code)
        self.on_output()

    def _is_new(self, sequence: int) -> bool:
        with self._state:
            return self._incoming.is_new(sequence)

    def _keep(self, frame: bytes, label: str) -> None:
        """Give a frame its place among those to send."""
        with self._state:
            if not self._outgoing.waits:
                self._progress = monotonic()
            self._outgoing.keep(frame, label)
            self._output.notify_all()

    def _peer_is_done(self) -> bool:
        return self._last is not None and self._incoming.arrived >= self._last

    def _has_left(self) -> bool:
        """Whether the other end has said that it is done and has gone: nobody is there to tell anything."""
        return self._last is not None and not self._attached

    def _owe(self, type_: FrameType, text: bytes = b"") -> None:
        """Have a frame of that type sent as soon as the connection is free."""
        self._due[type_] = text
        self._output.notify_all()

    def _announce(self) -> None:
        """Wake whoever waits for anything of this conversation."""
        self._state.notify_all()
        self._output.notify_all()
        for event in self._listeners:
            event.set()

    def _fail_with(self, error: AppError) -> None:
        """Every caller meets the error from now on, so what is held is of no use to anybody."""
        self._failure = error
        self._inbox.clear()
        self._incoming.drop()
        self._announce()

    def _finish(self) -> None:
        self._over = True
        self._outgoing.forget()
        self._announce()

    def _leave(self, deadline: float) -> None:
        """End it and see the connection end, so that the last frame is out before the process may exit."""
        with self._state:
            self._finish()
        self.on_output()
        self._drain(lambda: not self._attached, deadline)

    def _check_patience(self) -> None:
        if not (self.over or self._attached or self._last is not None) and monotonic() - self._since > self._patience:
            self._fail_with(ChannelError("CL-1326", details={"seconds": self._patience}))

    def _nudge(self) -> bool:
        """Where frames may have been swallowed silently, ask what the other end has; cheap, and rare on a real wire."""
        if not self._outgoing.waits or not self._attached or monotonic() - self._progress < self._probe_after:
            return False
        self._progress = monotonic()
        self._owe(FrameType.PROBE)
        return True

    def _wait(self, done: Callable[[], bool], timeout: float | None, what: str, code: str) -> None:
        """Wait, the lock held, until `done`; raise the conversation's failure, or `code` when the time is up."""
        started = monotonic()
        while True:
            self._check_patience()
            if self._failure is not None:
                raise self._failure
            if self._over:
                raise ChannelError("CL-1328", "The conversation was closed at this end.")
            if self._last is not None and (what == "send" or (self._peer_is_done() and not done())):
                raise ChannelError("CL-1328")
            if done():
                return
            left = SLICE if timeout is None else min(SLICE, started + timeout - monotonic())
            if left <= 0:
                raise ChannelError(code, details={"seconds": timeout})
            self._pause(min(left, self._probe_after))

    def _pause(self, seconds: float) -> None:
        """Wait for news; a nudge leaves the lock for a moment, since a memory wire carries it at once."""
        if not self._nudge():
            self._state.wait(seconds)
            return
        self._state.release()
        try:
            self.on_output()
        finally:
            self._state.acquire()

    def _drain(self, done: Callable[[], bool], deadline: float) -> None:
        """Wait until `done` or the deadline; without a connection only while something is left to deliver."""
        with self._state:
            while not done() and (self._attached or self._outgoing.waits) and monotonic() < deadline:
                self._pause(min(SLICE, max(0.001, deadline - monotonic())))
