"""A TCP relay that keeps every byte that goes to the hub."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CONTROL = b"GET /ws/worker/"


@dataclass
class Link:
    """One connection: its bytes to the hub, and when the hub ended it."""

    sent: bytearray = field(default_factory=bytearray)
    closed_at: float | None = None


class Relay:
    """Listens on a free port and passes everything on, and keeps what goes to the hub."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._links: list[Link] = []

    @property
    def url(self) -> str:
        """Where the relay listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def recorded(self) -> list[bytes]:
        """What each connection has sent so far."""
        with self._lock:
            return [bytes(link.sent) for link in self._links]

    def control_links(self) -> list[Link]:
        """Connections to the control socket that are open."""
        with self._lock:
            return [link for link in self._links if link.closed_at is None and link.sent.startswith(CONTROL)]

    def serve(self) -> None:
        """Accept until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def close(self) -> None:
        """Close the door and every connection."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts
        self._listener.close()
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _carry(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target, timeout=10)
        except OSError:
            self._hear_out(near)
            return
        far.settimeout(None)
        link = Link()
        with self._lock:
            self._links.append(link)
            self._open |= {near, far}
        back = threading.Thread(target=self._carry_back, args=(far, near, link), daemon=True)
        back.start()
        self._pump(near, far, link.sent)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _hear_out(self, near: socket.socket) -> None:
        """The hub is away: keep what is sent all the same, and hang up."""
        link = Link()
        with self._lock:
            self._links.append(link)
        near.settimeout(0.5)
        with contextlib.suppress(OSError):
            while data := near.recv(1 << 16):
                with self._lock:
                    link.sent += data
        link.closed_at = time.monotonic()
        near.close()

    def _carry_back(self, far: socket.socket, near: socket.socket, link: Link) -> None:
        self._pump(far, near, None)
        link.closed_at = time.monotonic()

    def _pump(self, source: socket.socket, target: socket.socket, record: bytearray | None) -> None:
        """Pass on until the source has ended; what comes for a target that has gone is kept all the same."""
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if record is not None:
                    with self._lock:
                        record += data
                with contextlib.suppress(OSError):
                    target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


@contextmanager
def running_relay(target: tuple[str, int]) -> Iterator[Relay]:
    """A relay for the length of the block."""
    relay = Relay(target)
    threading.Thread(target=relay.serve, daemon=True).start()
    try:
        yield relay
    finally:
        relay.close()
