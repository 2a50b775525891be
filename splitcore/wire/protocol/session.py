"""One conversation, whatever carries it: what the application asks of it, and what the transport.

A session outlives its connections. A transport attaches, asks `next_frame` for what to send, gives `deliver` what
arrived, and detaches; the next one goes on where it stopped. `Exchange` knows what the frames mean, so that a slow half
holds its sender back without ever blocking the thread that reads acknowledgements. `Conversation` knows how it breaks
and ends, and who waits for what.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from threading import Event, Lock
from time import monotonic

from splitcore.codecs.payload import Buffer
from splitcore.errors import AppError
from splitcore.wire.protocol import frames
from splitcore.wire.protocol.channel import Closing, Traffic
from splitcore.wire.protocol.conversation import Conversation
from splitcore.wire.protocol.egress import Egress
from splitcore.wire.protocol.exchange import CONTROL, Exchange
from splitcore.wire.protocol.frames import FrameType
from splitcore.wire.protocol.incoming import Content
from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.messages import ChannelError, FrameError, Message, PeerError, SessionIds
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.tap import Tap


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
        tap: Tap | None = None,
    ) -> None:
        """`patience`, `probe_after`: see `Conversation`.

        `authentic`: the transport proves every byte (TLS), so the checksum spares the tensors.
        `egress`: who counts what leaves, and may refuse a message before any of it is queued.
        `tap`: who reads along.
        """
        self.sent, self.received = Traffic(), Traffic()
        self.on_output: Callable[[], None] = lambda: None  # called, without locks held, when `next_frame` has something
        self._limits, self._window = limits, window or Window()
        self._whole, self._egress, self._tap, self._sending = not authentic, egress, tap, Lock()
        self.exchange = Exchange(limits, self._window)
        self._conversation = Conversation(
            self.exchange, patience=patience, probe_after=probe_after, carry=lambda: self.on_output()
        )
        self._lock = self._conversation.lock

    # ---- the application's side

    @property
    def session(self) -> SessionIds:
        """Run, participant and attempt of this conversation."""
        return self._limits.session

    @property
    def over(self) -> bool:
        """Whether the conversation has ended, well or badly."""
        return self._conversation.is_over

    @property
    def ending(self) -> bool:
        """Whether one end has said, or is saying, that it has no more: a connection that ends now is no break."""
        return self.over or self._conversation.is_closing or self.exchange.last is not None

    @property
    def attached(self) -> bool:
        """Whether a connection stands."""
        return self._conversation.is_attached

    @property
    def arrived(self) -> int:
        """Number of the last frame that came in order."""
        return self.exchange.incoming.arrived

    def send(self, message: Message, *, timeout: float | None = None) -> int:
        """See `Channel.send`."""
        exchange = self.exchange
        self._limits.check_sent(message)
        with self._sending:
            stamped = replace(message, session=self.session)
            with self._lock:
                credit = exchange.incoming.tell()
            most = self._limits.max_frame_bytes
            encoded = frames.encode(
                stamped, exchange.outgoing.next, max_frame_bytes=most, credit=credit, whole=self._whole
            )
            with self._lock:
                self._conversation.wait(lambda: exchange.outgoing.has_room(encoded), timeout, "send", "CL-1331")
                if self._egress is not None:
                    self._egress.admit(encoded.nbytes)
            for frame in encoded.frames:  # each is on its way while the next one is made
                with self._lock:
                    exchange.keep(frame, message.label)
                    self._conversation.output.notify_all()
            with self._lock:
                self.sent.count_message(message, encoded.nbytes)
        self.on_output()
        return encoded.nbytes

    def receive(self, *, timeout: float | None = None) -> Message:
        """See `Channel.receive`."""
        conversation, inbox = self._conversation, self.exchange.inbox
        with self._lock:
            idle = not inbox and conversation.owe_acknowledgement(1)
        if idle:
            self.on_output()
        with self._lock:
            conversation.wait(lambda: bool(inbox), timeout, "receive", "CL-1327")
            arrived = inbox.popleft()
            self.exchange.incoming.taken(arrived)
            owed = conversation.owe_acknowledgement(max(1, self._window.frames // 2))
        if owed:
            self.on_output()
        return arrived.message

    def ready(self) -> bool:
        """See `Channel.ready`."""
        conversation = self._conversation
        with self._lock:
            conversation.check_patience()
            ready = bool(self.exchange.inbox) or self.over or self.exchange.is_heard_out
            nudged = not ready and (conversation.owe_acknowledgement(1) or conversation.nudge())
        if nudged:
            self.on_output()
        return ready

    def subscribe(self, event: Event) -> None:
        """See `Channel.subscribe`."""
        with self._lock:
            self._conversation.listeners.add(event)

    def unsubscribe(self, event: Event) -> None:
        """See `Channel.unsubscribe`."""
        with self._lock:
            self._conversation.listeners.discard(event)

    def close(self, *, timeout: float = 5.0) -> None:
        """See `Channel.close`."""
        conversation, exchange, deadline = self._conversation, self.exchange, monotonic() + timeout
        with self._lock:
            conversation.is_closing = True
            if self.over:
                conversation.finish()
                return
            conversation.owe_acknowledgement(1)  # the other end may be waiting for it alone
            if exchange.outgoing.waits:  # ask what arrived, since acknowledgements wait for the application
                conversation.owe(FrameType.PROBE)
        self.on_output()
        conversation.drain(lambda: not exchange.outgoing.waits or exchange.last is not None, deadline)
        with self._lock:
            conversation.owe(FrameType.FIN)
        self.on_output()
        conversation.drain(lambda: not exchange.is_due(FrameType.FIN) or conversation.has_left, deadline)
        self._leave(deadline)

    def abort(self, code: str) -> None:
        """See `Channel.abort`."""
        self.fail(ChannelError("CL-1328", "This half ended the conversation."), tell=code)
        deadline = monotonic() + 2.0
        self._conversation.drain(lambda: not self.exchange.is_due(FrameType.ABORT), deadline)
        self._leave(deadline)

    def _leave(self, deadline: float) -> None:
        """End it and see the connection end, so that the last frame is out before the process may exit."""
        with self._lock:
            self._conversation.finish()
        self.on_output()
        self._conversation.drain(lambda: not self.attached, deadline)

    # ---- the transport's side

    def attach(self, peer_arrived: int = 0) -> tuple[int, int]:
        """A new connection stands, whose other end has our frames up to `peer_arrived`: (generation, what we have).

        Raises FrameError CL-1305 when the other end is not the one that this conversation was begun with.
        """
        with self._lock:
            self.exchange.resume(peer_arrived)
            return self._conversation.attach(), self.arrived

    def detach(self, generation: int) -> None:
        """The connection of that generation is gone."""
        with self._lock:
            self._conversation.detach(generation)

    def fail(self, error: AppError, *, tell: str = "") -> None:
        """End the conversation with an error that every caller meets; `tell` the other end that code."""
        with self._lock:
            if self.over:
                return
            self._conversation.fail(error)
            if tell and self.attached:
                self._conversation.owe(FrameType.ABORT, tell.encode())
        self.on_output()

    def lost(self) -> bool:
        """Whether the conversation is over or has been without a connection for longer than `patience`."""
        with self._lock:
            self._conversation.check_patience()
            return self.over

    def next_frame(self, generation: int, *, wait: bool = True) -> bytes | None:
        """The next frame to transmit; None when this connection has no more (or, without `wait`, nothing now)."""
        following = self._following(generation, wait)
        if following is None:
            return None
        frame, label = following
        if self._egress is not None:
            try:
                self._egress.leaves(label, frame, frames.PREFIX.size + frames.header_size(frame))
            except AppError as error:  # what is sent again counts as often as it leaves
                self.fail(error, tell=error.code)
                return self.next_frame(generation, wait=wait)
        if self._tap is not None:
            self._tap.frame(frame, sent=True)
        return frame

    def _following(self, generation: int, wait: bool) -> tuple[bytes, str] | None:
        conversation = self._conversation
        with self._lock:
            while generation == conversation.generation and self.attached and not conversation.is_finished:
                following = self.exchange.following(only_end=conversation.failure is not None)
                if following is not None:
                    self.sent.count_frame(len(following[0]))
                    if following[1] is CONTROL:
                        self._lock.notify_all()  # whoever closes waits for it to be out
                    return following
                if conversation.failure is not None or not wait:
                    return None
                conversation.output.wait()
        return None

    def deliver(self, generation: int, data: Buffer) -> None:
        """Take in a frame; whatever is wrong with it ends up in `receive`, never here."""
        if self.over:
            return
        if self._tap is not None:
            self._tap.frame(data, sent=False)
        try:
            self._take(generation, data)
        except FrameError as error:
            self.fail(error, tell=error.code)
        except PeerError as error:
            self.fail(error)
        self.on_output()

    def _take(self, generation: int, data: Buffer) -> None:
        try:
            prefix = frames.read_prefix(data, self._limits.max_frame_bytes, whole=self._whole)
        except FrameError as error:
            with self._lock:
                if generation == self._conversation.generation:
                    self.exchange.take_damaged(error)
                    self._conversation.output.notify_all()
            return
        with self._lock:
            is_new = self.exchange.incoming.is_new(prefix.sequence)
        content: Content | None = None
        if is_new and prefix.type is FrameType.DATA:
            content = frames.decode(prefix, data, self._limits)  # the costly part, without the lock
        elif is_new and prefix.type is FrameType.MORE:
            content = frames.part_of(prefix, data)
        with self._lock:
            if generation != self._conversation.generation or self.over:
                return
            self.received.count_frame(memoryview(data).nbytes)
            complete = self.exchange.take(prefix, data, content)
            for one in complete:
                self.received.count_message(one.message, one.nbytes)
            if complete or prefix.type is FrameType.FIN:
                self._conversation.announce()
            else:
                self._conversation.wake()
