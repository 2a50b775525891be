"""A network that is slow on purpose: a TCP proxy in a process of its own that shapes each direction by itself.

Bandwidth by a token bucket, delay by holding every piece back, and a queue as a router has one: what is sent faster
than the bandwidth waits in it, and when it is full the sender is held back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from tests.benchmarks.children import child

PIECE = 16_384  # bytes that are shaped together: 2.6 ms at 50 Mbit/s
QUEUE = 0.1  # seconds of the bandwidth that wait at most
Address = tuple[str, int]


@dataclass(frozen=True)
class Network:
    """Bytes a second each way, and seconds one way."""

    bandwidth: float
    delay: float


WAN = Network(bandwidth=50e6 / 8, delay=0.020)


@contextmanager
def slowed(network: Network, target: Address) -> Iterator[Address]:
    """A proxy to `target`; the block has its address."""
    with child(_serve, network, target) as pipe:
        host, port = pipe.recv()
        yield host, port


def _serve(pipe: Connection, network: Network, target: Address) -> None:
    with suppress(asyncio.CancelledError):
        asyncio.run(_Proxy(network, target).run(pipe))


class _Direction:
    """The bucket of one direction, shared by every connection through the proxy."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._free = 0.0

    def departure(self, nbytes: int) -> float:
        """When a piece that comes now has left the bottleneck."""
        self._free = max(self._free, asyncio.get_running_loop().time()) + nbytes / self._network.bandwidth
        return self._free

    async def carry(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Read, hold back, write, until the source ends."""
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        writing = asyncio.create_task(self._write(pieces, target))
        while data := await source.read(PIECE):
            leaves = self.departure(len(data))
            pieces.put_nowait((leaves + self._network.delay, data))
            if (ahead := leaves - loop.time()) > QUEUE:
                await asyncio.sleep(ahead - QUEUE)
        pieces.put_nowait((loop.time() + self._network.delay, b""))
        await writing

    async def _write(self, pieces: asyncio.Queue[tuple[float, bytes]], target: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while True:
                due, data = await pieces.get()
                if (early := due - loop.time()) > 0:
                    await asyncio.sleep(early)
                if not data:
                    break
                target.write(data)
                await target.drain()
        target.close()


class _Proxy:
    """Accepts, and joins each connection to one of its own to the target."""

    def __init__(self, network: Network, target: Address) -> None:
        self._target, self._up, self._down = target, _Direction(network), _Direction(network)
        self._kept: set[asyncio.Task[None]] = set()

    async def run(self, pipe: Connection) -> None:
        """Serve until the pipe's other end is gone."""
        server = await asyncio.start_server(self._join, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname())
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(pipe.fileno(), ended.set)
        await ended.wait()

    async def _join(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        try:
            far_in, far_out = await asyncio.open_connection(*self._target)
        except OSError:  # the server half has ended
            near_out.close()
            return
        for carrying in (self._up.carry(near_in, far_out), self._down.carry(far_in, near_out)):
            task = asyncio.create_task(_until_broken(carrying))
            self._kept.add(task)
            task.add_done_callback(self._kept.discard)


async def _until_broken(carrying: object) -> None:
    with suppress(ConnectionError):
        await carrying  # type: ignore[misc]
