"""The one small interface to the other half: `Channel`, and on the server side a `Listener` that yields channels.

Guarantees of every channel: messages arrive in order, each exactly once, even over a connection that drops, doubles,
reorders or damages frames or breaks and is dialled again; what arrives has passed the contract's `FrameLimits`.
`memory.memory_pair` and the gRPC channel keep them alike and count the same bytes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Protocol, Self

from splitcore.wire.protocol.messages import ChannelError, Message, SessionIds

SLICE = 0.2  # seconds between looks at clocks while waiting


@dataclass
class Traffic:
    """Bytes and messages of one direction, by kind (`activations:head_up`); frames that were sent again count again."""

    bytes: int = 0
    messages: int = 0
    frames: int = 0
    by_kind: dict[str, int] = field(default_factory=dict)

    def count_message(self, message: Message, nbytes: int) -> None:
        """Count one message that was sent, or that was received for the first time."""
        self.messages += 1
        self.by_kind[message.label] = self.by_kind.get(message.label, 0) + nbytes

    def count_frame(self, nbytes: int) -> None:
        """Count one frame as it went over the wire, acknowledgements and repetitions included."""
        self.frames += 1
        self.bytes += nbytes


class Channel(Protocol):
    """A conversation with the other half of a run. Any thread may send, one thread receives."""

    @property
    def session(self) -> SessionIds:
        """Run, participant and attempt of this conversation."""

    @property
    def sent(self) -> Traffic:
        """What this end has sent."""

    @property
    def received(self) -> Traffic:
        """What this end has received."""

    def send(self, message: Message, *, timeout: float | None = None) -> int:
        """Queue a message, blocking while the window is full; returns the bytes of its frame.

        The tensors' memory is free for reuse on return. Raises FrameError CL-1304, ChannelError CL-1326, 1328, 1331.
        """

    def receive(self, *, timeout: float | None = None) -> Message:
        """The next message. Raises ChannelError CL-1327 (time), 1326 (lost), 1328 (closed), FrameError, PeerError."""

    def ready(self) -> bool:
        """Whether `receive` would return or raise at once."""

    def subscribe(self, event: Event) -> None:
        """Set `event` whenever this channel becomes ready, until `unsubscribe`."""

    def unsubscribe(self, event: Event) -> None:
        """Stop setting `event`."""

    def close(self, *, timeout: float = 5.0) -> None:
        """Wait until the other half has what was sent, then end the conversation. Idempotent."""

    def abort(self, code: str) -> None:
        """Tell the other half that this one stops because of `code`, then end the conversation."""


class Listener(Protocol):
    """The server half's door."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port that it listens on."""

    def accept(self, *, timeout: float | None = None) -> Channel:
        """The next client's channel: one per participant and attempt, a newer attempt ends the older one's channel.

        Raises ChannelError CL-1327 when none came in time.
        """

    def close(self) -> None:
        """Close the door and every channel."""


class Closing(ABC):
    """`with` for channels and listeners."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def wait_any(channels: Mapping[str, Channel], *, timeout: float | None = None) -> list[str]:
    """Names of the channels that are ready, in the mapping's order; waits for at least one. Raises CL-1327."""
    event = Event()
    deadline = None if timeout is None else monotonic() + timeout
    try:
        for channel in channels.values():
            channel.subscribe(event)
        while True:
            event.clear()
            ready = [name for name, channel in channels.items() if channel.ready()]
            if ready:
                return ready
            # a short slice, so that a lost connection or an unanswered frame is noticed too
            left = SLICE if deadline is None else min(SLICE, deadline - monotonic())
            if left <= 0:
                raise ChannelError("CL-1327", details={"participants": sorted(channels)})
            event.wait(left)
    finally:
        for channel in channels.values():
            channel.unsubscribe(event)
