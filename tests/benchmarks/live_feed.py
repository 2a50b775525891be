"""500 open run pages: no message reaches a stranger, none is lost, and how late an update is (promises 2 and 31)."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.benchmarks.frame import Scale, Table, figure, show
from tests.e2e.played_hub import Hub, played_hub

RUNS, SOCKETS_EACH = 20, 25


@dataclass
class Page:
    """One open page: what it has got, and what it should not have got."""

    run: str
    messages: int = 0
    crossed: int = 0
    gaps: int = 0
    end: int | None = None
    steps: dict[int, float] = field(default_factory=dict)  # step → when it arrived first

    def take(self, text: str) -> None:
        """Look at one message of the feed."""
        message = json.loads(text)
        if message["type"] != "records":
            return
        self.messages += 1
        self.crossed += message["run"]["id"] != self.run
        self.gaps += self.end is not None and message["from"] != self.end
        self.end = message["seq"]
        for record in message["records"]:
            if record["kind"] == "metric":
                self.steps.setdefault(record["step"], time.monotonic())


def measure(scale: Scale) -> dict[str, Any]:
    """Open the pages, let every run report, and count."""
    steps, rounds = scale.of(8, 3), scale.of(3, 1)
    with tempfile.TemporaryDirectory() as folder, played_hub(Path(folder)) as hub:
        crowd = hub.feed("crowd", str(RUNS))
        cookie = crowd["cookie"][0]["name"]
        outcomes = [
            asyncio.run(_round(hub, cookie, crowd["runs"], first=1 + number * steps, count=steps))
            for number in range(rounds)
        ]
    return {
        "sockets": RUNS * SOCKETS_EACH,
        "runs": RUNS,
        "messages": sum(one["messages"] for one in outcomes),
        "crossed": sum(one["crossed"] for one in outcomes),
        "gaps": sum(one["gaps"] for one in outcomes),
        "delay_p50": figure([one["p50"] for one in outcomes]),
        "delay_p95": figure([one["p95"] for one in outcomes]),
    }


async def _round(hub: Hub, cookie: str, runs: list[dict[str, str]], *, first: int, count: int) -> dict[str, Any]:
    """All sockets open; every run reports `count` steps, run after run; wait until each page has its last one."""
    pages = [Page(run["run"]) for run in runs for _ in range(SOCKETS_EACH)]
    sessions = [run["session"] for run in runs for _ in range(SOCKETS_EACH)]
    gate = asyncio.Semaphore(25)
    links = await asyncio.gather(
        *(_open(hub, cookie, page, session, gate) for page, session in zip(pages, sessions, strict=True))
    )
    readers = [asyncio.create_task(_read(link, page)) for link, page in zip(links, pages, strict=True)]
    stored: dict[tuple[str, int], float] = {}
    for step in range(first, first + count):
        for run in runs:
            await asyncio.to_thread(hub.feed, "steps", run["run"], str(step), str(step))
            stored[run["run"], step] = time.monotonic()
    last = first + count - 1
    deadline = time.monotonic() + 60
    while not all(last in page.steps for page in pages) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    for task in readers:
        task.cancel()
    await asyncio.gather(*(link.close() for link in links), return_exceptions=True)
    missing = sum(step not in page.steps for page in pages for step in range(first, last + 1))
    delays = sorted(
        max(0.0, page.steps[step] - stored[page.run, step]) for page in pages for step in page.steps if step >= first
    )
    return {
        "messages": sum(page.messages for page in pages),
        "crossed": sum(page.crossed for page in pages),
        "gaps": sum(page.gaps for page in pages) + missing,
        "p50": delays[len(delays) // 2],
        "p95": delays[int(len(delays) * 0.95)],
    }


async def _open(hub: Hub, cookie: str, page: Page, session: str, gate: asyncio.Semaphore) -> ClientConnection:
    async with gate:
        link = await connect(
            f"{hub.url.replace('http', 'ws', 1)}/ws/runs/{page.run}/",
            additional_headers={"Cookie": f"{cookie}={session}", "Origin": hub.url},
            proxy=None,
            open_timeout=60,
        )
        await link.send('{"type": "since", "since": 0}')
        page.take(str(await link.recv()))  # it is in its run's group before any report
        return link


async def _read(link: ClientConnection, page: Page) -> None:
    async for text in link:
        page.take(str(text))


def rows(result: Mapping[str, Any]) -> Table:
    """The result for people."""
    return Table(
        "Live pages of one hub",
        ("sockets", "runs", "messages", "crossed", "gaps", "delay p50", "delay p95"),
        [
            (
                str(result["sockets"]),
                str(result["runs"]),
                str(result["messages"]),
                str(result["crossed"]),
                str(result["gaps"]),
                show(result["delay_p50"], 3, " s"),
                show(result["delay_p95"], 3, " s"),
            )
        ],
    )
