"""One more site for the drills: a data worker behind a recording relay, with rows found nowhere else in the world.

Its clock is ten minutes ahead of everybody's.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from urllib.parse import unquote, urlsplit

import psutil
import pytest

from demo.launch.groups import BASE_MODEL
from demo.launch.stage import Stage
from tests.integration.drills import add_canary_site, hub_variables
from tests.integration.relay import Relay, running_relay
from tests.integration.search import Needles
from tests.integration.spoiler.sitecustomize import AHEAD
from tests.stack import Stack

KEY = "canary"
CLOCK_AHEAD = 600  # seconds
SPOILER = Path(__file__).parent / "spoiler"
REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class CanarySite:
    """The site, the stage in which it has the clinic's place, and what must never leave it."""

    stage: Stage
    relay: Relay
    rows: list[dict[str, str]]
    queue: bytearray  # every command that the hub's queue has got
    key: str = KEY

    @property
    def worker(self) -> str:
        """The worker's id."""
        return self.stage.workers["clinic"]

    def needles(self) -> Needles:
        """The canaries, and every row of the demo's datasets, in all their forms."""
        needles = Needles(BASE_MODEL / "tokenizer.json")
        needles.add_rows(self.rows)
        for row in self.rows:
            for text in row.values():
                for word in text.split():
                    needles.add_text(word)
        for path in sorted(self.stage.files.glob("*.jsonl")):
            needles.add_rows(read_rows(path), stride=8)
        return needles


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def canaries(count: int) -> list[dict[str, str]]:
    """Rows of random words, some not ASCII."""

    def words(number: int) -> str:
        return " ".join(f"ž{secrets.token_hex(6)}é" if place % 2 else secrets.token_hex(6) for place in range(number))

    return [{"prompt": words(2), "completion": f" {words(2)}"} for _ in range(count)]


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def canary_site(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CanarySite]:
    """The site, running and ready for runs."""
    folder, rows, queue = tmp_path_factory.mktemp("canary"), canaries(24), bytearray()
    ended = Event()
    with running_relay(("127.0.0.1", stack.groups.hub_port)) as relay:
        Thread(target=_watch, args=(stack, queue, ended), daemon=True).start()
        stage = add_canary_site(
            stack,
            KEY,
            hub_url=relay.url,
            rows=write_rows(folder / "rows.jsonl", rows[:16]),
            heldout=write_rows(folder / "heldout.jsonl", rows[16:]),
            variables={"PYTHONPATH": os.pathsep.join([str(SPOILER), str(REPO)]), AHEAD: str(CLOCK_AHEAD)},
        )
        yield CanarySite(stage, relay, rows, queue)
        ended.set()
        stack.stop_site(KEY)


def _watch(stack: Stack, seen: bytearray, ended: Event) -> None:
    """Keep every command that the hub's queue gets, through the hub's restarts."""
    while not ended.wait(0.2):
        with contextlib.suppress(psutil.Error, OSError, LookupError, StopIteration), _queue_of(stack) as link:
            link.sendall(b"MONITOR\r\n")
            _keep(link, seen, ended)


def _queue_of(stack: Stack) -> socket.socket:
    """A connection to the hub's queue, which listens on a socket in the hub's folder."""
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(1)
    link.connect(unquote(urlsplit(hub_variables(stack)["REDIS_URL"]).path))
    return link


def _keep(link: socket.socket, seen: bytearray, ended: Event) -> None:
    while not ended.is_set():
        try:
            data = link.recv(1 << 16)
        except TimeoutError:
            continue
        if not data:
            return
        seen += data
