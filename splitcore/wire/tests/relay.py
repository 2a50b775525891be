"""A bad network between two sockets, on purpose."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from threading import Event, Thread


class Relay:
    """A TCP proxy between the halves: it can be cut, refuse connections, swallow all for a while, or damage a byte."""

    def __init__(self, port: int) -> None:
        self.target, self.refusing, self.damage = port, False, False
        self._open: list[socket.socket] = []
        self.connections, self._forgotten = 0, 0  # the number of the last one; of the last that is dead for good
        self._through, self._closed = Event(), Event()
        self._through.set()
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return
            if self.refusing:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self._open += [near, far]
            self.connections += 1
            for source, sink in ((near, far), (far, near)):
                Thread(target=self._copy, args=(source, sink, self.connections), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket, number: int) -> None:
        forward(source, sink, lambda data: self._carried(data, number))

    def _carried(self, data: bytes, number: int) -> bytes:
        """The data, once it may pass, with one bit flipped where that was asked for. The end (no data) waits too."""
        self._through.wait()
        if number <= self._forgotten:
            self._closed.wait()
        if not (self.damage and data):
            return data
        self.damage = False
        return bytes([data[0] ^ 1]) + data[1:]

    def swallow(self) -> None:
        """From now on nothing gets through, the end of a connection neither; new connections hang alike."""
        self._through.clear()

    def restore(self, *, forget: bool = False) -> None:
        """Let everything through again, what was swallowed first, as TCP sends it again; or `forget` what there was.

        A router that has lost its table does: of old connections neither end ever hears again.
        """
        self._forgotten = self.connections if forget else self._forgotten
        self._through.set()

    def cut(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def close(self) -> None:
        self._door.close()
        self._closed.set()
        self.restore()
        self.cut()


def forward(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes] = bytes) -> None:
    """Pass on what comes until either end is closed; `change` is given the end too, which is empty."""
    try:
        while data := change(source.recv(65_536)):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        sink.close()
