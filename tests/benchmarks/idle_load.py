"""Many idle agents in one process: each with the worker's own control connection and its own client of the hub."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from splitcore.wire.transport.certificates import Identity
from workers.agent.presence import Presence
from workers.agent.service import FIRST_LOOK_SECONDS, LOOK_SECONDS
from workers.contracts import Check, Hello, PolicySummary, WorkerFacts
from workers.hub import HubClient, HubError, Signer

BEAT_SECONDS = 5.0
CHECKS = 12  # what the doctor tells of


@dataclass
class Tally:
    """What all agents together have met."""

    looks: list[float] = field(default_factory=list)  # seconds of each answered `GET assignments`
    seen: set[int] = field(default_factory=set)  # agents that got an answer
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def told(self, number: int, seconds: float | None) -> None:
        """One look's outcome."""
        with self.lock:
            if seconds is None:
                self.refused += 1
            else:
                self.looks.append(seconds)
                self.seen.add(number)

    def summary(self) -> dict[str, Any]:
        """Counts and how long an answer took."""
        with self.lock:
            looks = sorted(self.looks) or [0.0]
            return {
                "agents": len(self.seen),
                "looks": len(self.looks),
                "refused": self.refused,
                "look_p95": looks[int(len(looks) * 0.95)],
            }


class IdleAgent:
    """A worker without work: hello, beats, and a look at its list on each doorbell and every few seconds."""

    def __init__(self, number: int, url: str, identity: Identity, tally: Tally) -> None:
        signer = Signer(identity, identity.worker_id)
        self._number, self._tally = number, tally
        self._hub, self._wake = HubClient(url, signer), asyncio.Event()
        hello = _hello(number)
        self._presence = Presence(
            url,
            signer,
            beat_seconds=BEAT_SECONDS,
            hello=lambda: hello,
            lanes=list,
            on_wake=lambda _: self._wake.set(),
            left=lambda *_: None,
            protocol=lambda: self._hub.hub_protocol,
        )

    async def run(self) -> None:
        """Until it is cancelled."""
        await asyncio.gather(self._presence.run(), self._look())

    async def _look(self) -> None:
        """As the agent's own loop: once connected, on a doorbell, and every few seconds."""
        await self._rest(FIRST_LOOK_SECONDS)
        while True:
            await asyncio.to_thread(self._ask)
            await self._rest(LOOK_SECONDS)

    async def _rest(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), seconds)
        self._wake.clear()

    def _ask(self) -> None:
        start = time.perf_counter()
        try:
            self._hub.assignments()
        except HubError:
            self._tally.told(self._number, None)
        else:
            self._tally.told(self._number, time.perf_counter() - start)


def _hello(number: int) -> Hello:
    facts = WorkerFacts(
        cutlayer="0.1.0", python="3.11.2", torch="2.13.0", platform="Linux", cpus=16, memory_bytes=64 * 10**9
    )
    checks = [Check(name=f"Check {place}", status="ok", detail="As it should be.") for place in range(CHECKS)]
    return Hello(facts=facts, checks=checks, policy=PolicySummary(), console_url=f"http://127.0.0.1:{10000 + number}/")


def play(pipe: Connection, url: str, identities: Sequence[tuple[str, str, str]]) -> None:
    """Make ready, say so, begin all at once at the first word; answer each later one with the tally."""
    asyncio.run(_play(pipe, url, identities))


async def _play(pipe: Connection, url: str, identities: Sequence[tuple[str, str, str]]) -> None:
    tally = Tally()
    # One thread an agent, as each has a process of its own in life.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(len(identities) + 1))
    agents = [
        IdleAgent(number, url, Identity(worker_id, certificate, key.encode()), tally)
        for number, (worker_id, certificate, key) in enumerate(identities)
    ]
    pipe.send("ready")
    await asyncio.to_thread(pipe.recv)
    tasks = [asyncio.create_task(agent.run()) for agent in agents]
    with contextlib.suppress(EOFError):
        while True:
            await asyncio.to_thread(pipe.recv)
            pipe.send(tally.summary())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
