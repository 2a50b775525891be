"""The memory twin of the network: the same frames, checks, rounding and byte counts, without a socket or a thread."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from splitcore.wire.protocol.limits import FrameLimits
from splitcore.wire.protocol.outgoing import Window
from splitcore.wire.protocol.session import Session
from splitcore.wire.protocol.tap import Tap

Fault = Callable[[bytes], list[bytes]]  # what arrives in place of one frame


def memory_pair(
    client_limits: FrameLimits,
    server_limits: FrameLimits,
    *,
    window: Window | None = None,
    up: Fault | None = None,
    down: Fault | None = None,
    probe_after: float = 1.0,
    tap: Tap | None = None,
) -> tuple[Session, Session]:
    """The two ends of a conversation in one process: (the client's channel, the server's).

    Each end may live in a thread of its own or both in one. `up` and `down` disturb the frames (see `faults`);
    `tap` reads along at the client's.
    """
    client = Session(client_limits, window=window, probe_after=probe_after, tap=tap)
    server = Session(server_limits, window=window, probe_after=probe_after)
    generations = (client.attach()[0], server.attach()[0])
    lanes = [
        _Lane(client, generations[0], server, generations[1], up),
        _Lane(server, generations[1], client, generations[0], down),
    ]

    def carry() -> None:
        for lane in lanes:
            lane.carry()

    client.on_output = server.on_output = carry
    return client, server


class _Lane:
    """One direction: moves frames in order, whichever thread comes by."""

    def __init__(self, source: Session, outgoing: int, target: Session, incoming: int, fault: Fault | None) -> None:
        self._source, self._outgoing, self._target, self._incoming = source, outgoing, target, incoming
        self._fault, self._lock, self._more = fault, Lock(), False

    def carry(self) -> None:
        """Move what there is, or leave it to the thread that is moving it already."""
        self._more = True
        while self._more and self._lock.acquire(blocking=False):
            try:
                self._more = False
                while (frame := self._source.next_frame(self._outgoing, wait=False)) is not None:
                    for arriving in [frame] if self._fault is None else self._fault(frame):
                        self._target.deliver(self._incoming, arriving)
                if self._source.over:
                    self._source.detach(self._outgoing)
            finally:
                self._lock.release()
