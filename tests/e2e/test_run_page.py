"""The run page in real browsers: it follows, survives a restart of the hub, and is the same everywhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Browser, Page, Route, expect

from tests.e2e.played_hub import Hub, enter, played_hub
from tests.stack import wait_for


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub of this module's own."""
    with played_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def watch(hub: Hub, browser: Browser, seeded: dict[str, Any]) -> Page:
    """A browser of its own, signed in, on the run's page."""
    page = enter(hub, browser, seeded)
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


def test_what_changes_while_the_parts_are_on_their_way_is_shown_too(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("world", "overtaken")
    page = watch(hub, browser, seeded)
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "live", timeout=15_000)
    held: list[tuple[Route, APIResponse]] = []
    page.wait_for_load_state("networkidle")
    page.route("**/live", lambda route: held.append((route, route.fetch())), times=1)
    hub.feed("steps", seeded["run"], "1", "5")
    wait_for(lambda: page.title() and held, what="the parts as they stood in training")
    hub.feed("fail", seeded["run"])
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "ended", timeout=15_000)
    route, outdated = held[0]
    route.fulfill(response=outdated)
    expect(page.locator("#live-chip")).to_contain_text("Failed")


def test_a_notice_and_a_failure_go_without_a_reload_once_the_run_was_resumed(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("world", "third")
    run = seeded["run"]
    hub.feed("steps", run, "1", "10")
    hub.feed("checkpoint", run, "10")
    page = watch(hub, browser, seeded)
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "live", timeout=15_000)
    page.get_by_role("button", name="Pause").click()
    notices, failure = page.locator("#messages"), page.locator("#live-failure")
    expect(notices).to_contain_text("The run is paused")
    expect(page.locator("#live-pill")).to_have_attribute("data-state", "live", timeout=15_000)
    page.evaluate("window.stays = true")  # a reload would forget it

    hub.feed("resume", run)
    expect(page.locator("#live-chip")).not_to_contain_text("Paused", timeout=15_000)
    expect(notices).not_to_contain_text("The run is paused")

    hub.feed("fail", run)
    expect(failure).to_contain_text("CL-1820", timeout=20_000)
    hub.feed("resume", run)
    expect(failure).not_to_contain_text("CL-1820", timeout=20_000)
    expect(page.locator("#live-chip")).not_to_contain_text("Failed")
    assert page.evaluate("window.stays") is True
