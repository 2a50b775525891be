"""A hub of its own whose workers are played: for tests and benchmarks that kill it, or that open many pages of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from playwright.sync_api import Browser, Page

from processes.children import end_child, start_child
from processes.redis_server import RedisServer, free_port
from tests.stack import wait_for

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Hub:
    """A hub that may be killed and started again."""

    environment: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None
    feeder: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def feed(self, *words: str) -> dict[str, Any]:
        """Let the played workers report."""
        if self.feeder is None:
            command = [sys.executable, "-m", "tests.e2e.run_feeder"]
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
            self.feeder = subprocess.Popen(command, cwd=ROOT, env=self.environment, **pipes)
        assert self.feeder.stdin is not None
        assert self.feeder.stdout is not None
        self.feeder.stdin.write(" ".join(words) + "\n")
        self.feeder.stdin.flush()
        answer: dict[str, Any] = json.loads(self.feeder.stdout.readline())
        return answer

    def start(self) -> None:
        """Serve, and wait until it answers."""
        command = [sys.executable, "-m", "uvicorn", "webapp.asgi:application", "--port", str(self.port)]
        self.process = start_child([*command, "--log-level", "warning"], cwd=ROOT, env=self.environment)
        wait_for(lambda: urlopen(f"{self.url}/health").status == 200, what="the hub")

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()


def enter(hub: Hub, browser: Browser, seeded: dict[str, Any], *, scheme: str = "light", width: int = 1280) -> Page:
    """A browser of its own, in which a played person is signed in."""
    size: Any = {"width": width, "height": 900}
    context = browser.new_context(base_url=hub.url, viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto("/accounts/login/")
    page.locator("[name='login']").fill(seeded["email"])
    page.locator("[name='password']").fill(seeded["password"])
    page.locator("form:has([name='login']) button[type='submit']").click()
    page.wait_for_url("**/home*")
    return page


@contextmanager
def played_hub(folder: Path) -> Iterator[Hub]:
    """A running hub with its own database (below `folder`) and queue."""
    queue = RedisServer(folder / "run")
    queue.start()
    port = free_port()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "webapp.settings.local",
        "CUTLAYER_VAR_DIR": str(folder),
        "CUTLAYER_BASE_URL": f"http://127.0.0.1:{port}",
        "REDIS_URL": queue.url,
    }
    started = Hub(environment, port)
    try:
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
        started.start()
        yield started
    finally:
        if started.feeder is not None:
            started.feeder.kill()
        if started.process is not None:
            end_child(started.process)
        queue.stop()
