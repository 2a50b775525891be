"""How a conversation stands: connected, broken, failed or over. And who waits for what of it, under its one lock."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition, Event, RLock
from time import monotonic

from splitcore.errors import AppError
from splitcore.wire.protocol.channel import SLICE
from splitcore.wire.protocol.exchange import Exchange
from splitcore.wire.protocol.frames import FrameType
from splitcore.wire.protocol.messages import ChannelError


class Conversation:
    """The state that every thread of a session looks at. Its methods are called with `lock` held, but `drain`."""

    def __init__(self, exchange: Exchange, *, patience: float, probe_after: float, carry: Callable[[], None]) -> None:
        """`patience`: seconds without a connection until it is lost. `probe_after`: see `Exchange.owe_probe`.

        `carry`: have what is to leave carried, with the lock not held.
        """
        self.exchange = exchange
        lock = RLock()
        # one lock, and each side of it woken by its own news: the application, and the thread that transmits
        self.lock, self.output = Condition(lock), Condition(lock)
        self.failure: AppError | None = None
        self.is_finished = self.is_closing = self.is_attached = False
        self.generation = 0  # of the connection: what comes from an earlier one is nobody's
        self._patience, self._probe_after, self._carry = patience, probe_after, carry
        self._since = monotonic()
        self.listeners: set[Event] = set()

    # ---- how it stands

    @property
    def is_over(self) -> bool:
        """Whether it has ended, well or badly."""
        return self.is_finished or self.failure is not None

    @property
    def has_left(self) -> bool:
        """Whether the other end has said that it is done and has gone: nobody is there to tell anything."""
        return self.exchange.last is not None and not self.is_attached

    def attach(self) -> int:
        """A new connection stands; returns its generation."""
        self.generation += 1
        self.is_attached = True
        self.wake()
        return self.generation

    def detach(self, generation: int) -> None:
        """The connection of that generation is gone."""
        if generation == self.generation and self.is_attached:
            self.is_attached, self._since = False, monotonic()
            self.announce()

    def fail(self, error: AppError) -> None:
        """Every caller meets the error from now on, so what is held is of no use to anybody."""
        self.failure = error
        self.exchange.drop()
        self.announce()

    def finish(self) -> None:
        """It is over."""
        self.is_finished = True
        self.exchange.outgoing.forget()
        self.announce()

    def check_patience(self) -> None:
        """Fail where it goes on and has been without a connection for too long."""
        stands = self.is_over or self.is_attached or self.exchange.last is not None
        if not stands and monotonic() - self._since > self._patience:
            self.fail(ChannelError("CL-1326", details={"seconds": self._patience}))

    # ---- what is to leave of itself

    def owe(self, type_: FrameType, text: bytes = b"") -> None:
        """Have a frame of that type sent as soon as the connection is free."""
        self.exchange.owe(type_, text)
        self.output.notify_all()

    def owe_acknowledgement(self, count: int) -> bool:
        """See `Exchange.owe_acknowledgement`."""
        owes = self.exchange.owe_acknowledgement(count)
        if owes:
            self.output.notify_all()
        return owes

    def nudge(self) -> bool:
        """Where frames may have been swallowed silently, ask what the other end has; cheap, and rare on a real wire."""
        owes = self.is_attached and self.exchange.owe_probe(self._probe_after)
        if owes:
            self.output.notify_all()
        return owes

    # ---- who waits

    def wake(self) -> None:
        """Wake the threads that wait in a call."""
        self.lock.notify_all()
        self.output.notify_all()

    def announce(self) -> None:
        """Wake whoever waits for anything of it."""
        self.wake()
        for event in self.listeners:
            event.set()

    def wait(self, done: Callable[[], bool], timeout: float | None, what: str, code: str) -> None:
        """Wait until `done`; raise the conversation's failure, or `code` when the time is up."""
        started = monotonic()
        while True:
            self.check_patience()
            if self.failure is not None:
                raise self.failure
            if self.is_finished:
                raise ChannelError("CL-1328", "The conversation was closed at this end.")
            if self.exchange.last is not None and (what == "send" or (self.exchange.is_heard_out and not done())):
                raise ChannelError("CL-1328")
            if done():
                return
            left = SLICE if timeout is None else min(SLICE, started + timeout - monotonic())
            if left <= 0:
                raise ChannelError(code, details={"seconds": timeout})
            self._pause(min(left, self._probe_after))

    def drain(self, done: Callable[[], bool], deadline: float) -> None:
        """Wait until `done` or the deadline; without a connection only while something is left to deliver."""
        with self.lock:
            while not done() and (self.is_attached or self.exchange.outgoing.waits) and monotonic() < deadline:
                self._pause(min(SLICE, max(0.001, deadline - monotonic())))

    def _pause(self, seconds: float) -> None:
        """Wait for news; a nudge leaves the lock for a moment, since a memory wire carries it at once."""
        if not self.nudge():
            self.lock.wait(seconds)
            return
        self.lock.release()
        try:
            self._carry()
        finally:
            self.lock.acquire()
