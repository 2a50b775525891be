"""The run page in real browsers: it follows, survives a restart of the hub, and is the same everywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, Page, expect

from processes.children import end_child, start_child
from processes.redis_server import free_port, start_redis
from tests.stack import wait_for

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Hub:
    """A hub of this test's own, which it may kill and start again."""

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


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub with its own database and queue."""
    queue, url = start_redis()
    port = free_port()
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "webapp.settings.local",
        "CUTLAYER_VAR_DIR": str(tmp_path_factory.mktemp("hub")),
        "CUTLAYER_BASE_URL": f"http://127.0.0.1:{port}",
        "REDIS_URL": url,
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
        end_child(queue)


def watch(hub: Hub, browser: Browser, seeded: dict[str, Any]) -> Page:
    """A browser of its own, signed in, on the run's page."""
    page = browser.new_context(base_url=hub.url, viewport={"width": 1280, "height": 900}).new_page()
    page.goto("/accounts/login/")
    page.locator("[name='login']").fill(seeded["email"])
    page.locator("[name='password']").fill(seeded["password"])
    page.locator("form:has([name='login']) button[type='submit']").click()
    page.wait_for_url("**/home*")
    page.goto(f"/runs/{seeded['run']}")
    return page


def curve(page: Page) -> str:
    """What the chart says of itself in words."""
    return page.locator("#loss-chart [data-chart='summary']").inner_text()


def test_the_run_page_follows_through_a_restart_and_another_browser_shows_the_same(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("world", "first")
    run = seeded["run"]
    page = watch(hub, browser, seeded)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "live", timeout=15_000)
    expect(page.locator("#live-status")).to_contain_text("Getting ready")

    hub.feed("steps", run, "1", "20")
    expect(page.locator("#live-status")).to_contain_text("are training", timeout=15_000)
    expect(page.locator("#run-progress")).to_have_js_property("value", 20, timeout=15_000)
    expect(page.locator("#live-samples")).to_contain_text("tuned at 20", timeout=15_000)

    hub.kill()
    hub.feed("steps", run, "21", "40")  # what the agents stored is there when the hub is back
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "reconnecting", timeout=15_000)
    hub.start()
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "live", timeout=40_000)
    expect(page.locator("#run-progress")).to_have_js_property("value", 40, timeout=20_000)
    hub.feed("steps", run, "41", "50")
    expect(page.locator("#run-progress")).to_have_js_property("value", 50, timeout=20_000)

    other = watch(hub, browser, seeded)
    wait_for(lambda: "step 50" in curve(other), what="the other browser's curve")
    wait_for(lambda: curve(page) == curve(other), what="the same curve in both browsers")
    assert all(url.startswith((hub.url, f"ws://127.0.0.1:{hub.port}")) for url in requests)


def test_a_failure_shows_its_first_cause_owner_and_remedy_without_a_reload(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("world", "second")
    page = watch(hub, browser, seeded)
    hub.feed("steps", seeded["run"], "1", "5")
    hub.feed("fail", seeded["run"])
    panel = page.locator("#live-failure")
    expect(panel).to_contain_text("CL-1820", timeout=20_000)
    expect(panel).to_contain_text("Beta bank")
    expect(panel).to_contain_text("Free some space")
    expect(page.locator("#live-chip")).to_contain_text("Failed")
