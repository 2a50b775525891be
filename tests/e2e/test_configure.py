"""The configure page in real browsers: two tabs, a refused YAML, what a site refuses; and the charts' arithmetic."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.played_hub import Hub, enter, played_hub

expect.set_options(timeout=20_000)  # a page saves half a second after the last key, on a machine that others use too


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub of this module's own."""
    with played_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def configure(page: Page, seeded: dict[str, Any]) -> list[str]:
    """Open the draft's form; the errors of its console are collected."""
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.goto(f"/runs/{seeded['run']}/edit")
    return errors


def test_the_second_of_two_tabs_is_told_what_the_first_one_saved(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("draft", "tabs")
    first = enter(hub, browser, seeded)
    second = first.context.new_page()
    configure(first, seeded)
    errors = configure(second, seeded)
    first.locator("#f-training-steps").fill("77")
    expect(first.locator("#draft-saved")).to_contain_text("Draft saved")
    second.locator("#f-lora-rank").fill("2")
    conflict = second.locator("#draft-conflict")
    expect(conflict).to_be_visible()
    expect(conflict).to_contain_text("You, in another tab")
    expect(conflict).to_contain_text("77")
    expect(conflict).to_be_in_viewport()
    conflict.get_by_role("button", name="Use saved values").click()
    expect(second.locator("#f-training-steps")).to_have_value("77")
    expect(second.locator("#f-lora-rank")).to_have_value("2")
    assert errors == []
    first.context.close()


def test_typing_swaps_the_preview_without_an_error_in_the_console(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("draft", "typing")
    page = enter(hub, browser, seeded)
    errors = configure(page, seeded)
    for rank in ("2", "wrong", "3"):
        with page.expect_response("**/runs/preview"):
            page.locator("#f-lora-rank").fill(rank)
    field = page.locator("#f-lora-rank")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    assert field.get_attribute("aria-invalid") is None
    expect(page.locator("#draft-saved")).to_contain_text("Draft saved")
    assert errors == []
    page.context.close()


def test_what_a_site_refuses_stands_at_the_field_and_one_click_mends_it(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("draft", "policy")
    page = enter(hub, browser, seeded)
    configure(page, seeded)
    page.locator("#f-split-tail_layers").fill("1")
    message = page.locator("#f-split-tail_layers-error")
    expect(message).to_contain_text("At least 2 tail layers must stay at the site")
    expect(page.locator("#f-split-tail_layers")).to_have_attribute("aria-invalid", "true")
    message.get_by_role("button", name="Use 2").click()
    expect(page.locator("#f-split-tail_layers")).to_have_value("2")
    expect(message).to_be_hidden()
    page.context.close()


def test_a_refused_yaml_comes_back_with_its_message_in_sight_and_in_focus(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("draft", "yaml")
    page = enter(hub, browser, seeded)
    configure(page, seeded)
    page.locator("#yaml-text").fill("model:\n  name_or_path: acme/tiny\nlora:\n  rang: 4\n")
    page.locator("button[value='yaml']").click()
    message = page.locator("#yaml-text-error")
    expect(message).to_contain_text("rang")
    expect(message).to_be_focused()
    expect(message).to_be_in_viewport()
    page.context.close()


TICKS = "([low, high]) => import('/static/js/series.js').then((m) => m.logTicks(low, high))"
WORDS = "(values) => import('/static/js/series.js').then((m) => m.describe('A', values))"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.005, 7, [0.01, 0.03, 0.1, 0.3, 1, 3]),
        (0.03, 7, [0.05, 0.1, 0.2, 0.5, 1, 2, 5]),
        (2.1, 3.2, [2.5, 3]),
        (1e-9, 1e9, [1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9]),
    ],
)
def test_a_logarithmic_axis_has_decades_and_never_more_ticks_than_fit(
    hub: Hub, browser: Browser, low: float, high: float, ticks: list[float]
) -> None:
    page = browser.new_context(base_url=hub.url).new_page()
    page.goto("/")
    found = page.evaluate(TICKS, [low, high])
    page.context.close()
    assert found == pytest.approx(ticks)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([5.284, 2.0, 0.5, 0.1, 0.01, 0.005, 0.005, 0.005, 0.005, 0.006, 0.007, 0.008], "falling, lately rising"),
        ([5.0, 4.0, 3.0, 2.0, 1.0, 0.5, 0.4, 0.3], "falling"),
        ([1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 9.0, 11.0], "rising"),
    ],
)
def test_the_sentence_gives_the_direction_from_first_to_last(
    hub: Hub, browser: Browser, values: list[float], words: str
) -> None:
    page = browser.new_context(base_url=hub.url).new_page()
    page.goto("/")
    told = page.evaluate(WORDS, values)
    page.context.close()
    assert told.endswith(f", {words}")


def test_legend_tile_and_sentence_of_a_run_tell_one_loss(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("world", "numbers")
    hub.feed("steps", seeded["run"], "1", "20")
    page = enter(hub, browser, seeded)
    page.goto(f"/runs/{seeded['run']}")
    legend = page.locator("#loss-chart [data-chart='legend'] output").first
    expect(legend).to_have_text(re.compile(r"^\d"))
    lane = page.locator("#live-lanes tbody tr").first.locator("td").nth(3)
    expect(lane).to_have_text(legend.inner_text())
    expect(page.locator("#loss-chart [data-chart='summary']")).to_contain_text(f"to {legend.inner_text()}")
    expect(page.locator("#live-tiles")).to_contain_text(legend.inner_text())
    page.context.close()


def test_the_fields_of_a_strategy_come_and_go_with_it(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("draft", "strategies")
    page = enter(hub, browser, seeded)
    errors = configure(page, seeded)
    page.locator("#show-advanced").check()
    turns, together = page.locator("#f-schedule-sequential-turn_steps"), page.locator("#f-schedule-parallel-straggler")
    noise = page.locator("#f-privacy-defences-gaussian-noise")
    expect(together).to_be_visible()
    expect(turns).to_be_hidden()
    page.locator("#f-schedule").select_option("sequential")
    expect(turns).to_be_visible()
    expect(page.get_by_text("Late organisations")).to_be_hidden()
    turns.fill("5")
    expect(noise).to_be_hidden()
    page.locator("#f-privacy-defences-gaussian").check()
    with page.expect_response(lambda response: "noise=0.25" in (response.request.post_data or "")):
        noise.fill("0.25")
    page.reload()
    expect(turns).to_have_value("5")
    expect(noise).to_have_value("0.25")
    assert errors == []
    page.context.close()
