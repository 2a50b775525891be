"""A bad network between two sockets, on purpose."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from threading import Thread


class Relay:
    """A TCP proxy between the halves: it can be cut, refuse connections for a while, or damage the next byte."""

    def __init__(self, port: int) -> None:
        self.target, self._open, self.refusing, self.damage = port, [], False, False
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
            for source, sink in ((near, far), (far, near)):
                Thread(target=self._copy, args=(source, sink), daemon=True).start()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        forward(source, sink, self._spoilt)

    def _spoilt(self, data: bytes) -> bytes:
        """The data, with one bit flipped where that was asked for."""
        if not self.damage:
            return data
        self.damage = False
        return bytes([data[0] ^ 1]) + data[1:]

    def cut(self) -> None:
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def close(self) -> None:
        self._door.close()
        self.cut()


def forward(source: socket.socket, sink: socket.socket, change: Callable[[bytes], bytes] = bytes) -> None:
    """Pass on what comes until either end is closed."""
    try:
        while data := source.recv(65_536):
            sink.sendall(change(data))
    except OSError:
        pass
    finally:
        sink.close()
