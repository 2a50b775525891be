"""Every page, light and dark, wide and narrow: accessible, within its width, without errors or foreign requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e.pages import CONSOLE, PUBLIC, hub_pages, signed_in, unlocked_console
from tests.stack import Stack

AXE = (Path(__file__).resolve().parents[2] / "node_modules" / "axe-core" / "axe.min.js").read_text()
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}"
# The other theme in place, without the transitions whose first colours are those of before.
DARK = """() => {
    const still = new CSSStyleSheet();
    still.replaceSync("*, *::before, *::after { transition: none !important; animation: none !important; }");
    document.adoptedStyleSheets.push(still);
    document.documentElement.dataset.bsTheme = "dark";
}"""
WIDE, NARROW = 1280, 360

# What people and machines write becomes one long word; the words that are the product's own stay.
LENGTHEN = """() => {
    const own = 'button, .btn, .cl-chip, nav, label, dt, time, .cl-scroll, .cl-num, .cl-cfg-bounds';
    const texts = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
    let lengthened = 0;
    while (texts.nextNode()) {
        const text = texts.currentNode;
        if (!text.data.trim() || text.parentElement.closest(own + ', script, option, svg')) continue;
        text.data = '/srv/' + 'Donaudampfschifffahrtsgesellschaft'.repeat(4);
        lengthened += 1;
    }
    return lengthened;
}"""
# How much wider than its window a page is, and by what.
OVERFLOW = """() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return null;
    const leaves = [...document.querySelectorAll('body *')].filter((one) => !one.firstElementChild);
    const wide = leaves.filter((one) => one.getBoundingClientRect().right > clientWidth && !one.closest('.cl-scroll'));
    const named = wide.slice(0, 3).map((one) => one.outerHTML.slice(0, 160));
    return `${scrollWidth - clientWidth} px wider than the window: ${named.join('; ')}`;
}"""


def violations(page: Page, rules: str) -> list[str]:
    """What axe finds on the page as it stands."""
    found = page.evaluate(f"axe.run(document, {rules}).then(result => result.violations)")
    return [f"axe {one['id']}: {'; '.join(node['html'][:160] for node in one['nodes'][:3])}" for one in found]


def overflow_of(page: Page) -> str | None:
    """By what the page is too wide once it has settled: a chart follows its window a frame later, or more."""
    for _ in range(20):
        overflow: str | None = page.evaluate(OVERFLOW)
        if overflow is None:
            return None
        page.wait_for_timeout(100)
    return overflow


def look(page: Page, way: str) -> list[str]:
    """What is wrong with the page in one theme and width."""
    overflow = overflow_of(page)
    return [f"{way}: {one}" for one in (*violations(page, RULES), *([overflow] if overflow else []))]


def inspect(page: Page, url: str) -> list[str]:
    """What is wrong with a page."""
    found: list[str] = []
    host = urlsplit(url).netloc

    def on_request(request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme.startswith(("http", "ws")) and parts.netloc != host:
            found.append(f"foreign request {request.url}")

    def on_console(message: Any) -> None:
        if message.type == "error":
            found.append(f"console: {message.text}")

    def on_error(error: Any) -> None:
        found.append(f"script: {error}")

    page.on("request", on_request)
    page.on("console", on_console)
    page.on("pageerror", on_error)
    try:
        answer = page.goto(url)
        if answer is None or answer.status != 200:
            found.append(f"status {answer.status if answer else None}")
        page.wait_for_load_state("load")
        page.evaluate(AXE)
        found += look(page, "light and wide")
        page.evaluate(DARK)
        page.set_viewport_size({"width": NARROW, "height": 900})
        found += look(page, "dark and narrow")
    finally:
        page.set_viewport_size({"width": WIDE, "height": 900})
        page.remove_listener("request", on_request)
        page.remove_listener("console", on_console)
        page.remove_listener("pageerror", on_error)
    return [f"{urlsplit(url).path}: {one}" for one in found]


@pytest.mark.e2e
@pytest.mark.timeout(900)  # two judgements of some sixty pages
def test_every_page_of_the_hub_holds_up(stack: Stack, browser: Browser, finished_run: dict[str, Any]) -> None:
    page = signed_in(browser, stack, stack.stage.parties["clinic"], scheme="light", width=WIDE)
    problems = [one for path in hub_pages(stack, finished_run).values() for one in inspect(page, stack.url + path)]
    page.context.clear_cookies()
    problems += [one for path in PUBLIC.values() for one in inspect(page, stack.url + path)]
    page.context.close()
    assert "\n".join(problems) == ""


@pytest.mark.e2e
def test_every_page_of_a_console_holds_up(stack: Stack, browser: Browser) -> None:
    page = unlocked_console(browser, stack, "clinic", scheme="light", width=WIDE)
    url = stack.groups.console_url("clinic").rstrip("/")
    paths = [stage_file(page, url), preview_of_a_dataset(page, url), *CONSOLE.values()]
    problems = [one for path in paths for one in inspect(page, url + path)]
    page.context.close()
    assert "\n".join(problems) == ""


def stage_file(page: Page, url: str) -> str:
    """Check a file in the console; the path of the page that says what would leave."""
    rows = b'{"prompt": "question", "completion": "answer"}\n{"prompt": "", "completion": ""}\n' * 20
    page.goto(f"{url}/add")
    page.set_input_files("#file", {"name": "notes.jsonl", "mimeType": "application/json", "buffer": rows})
    page.click("#check")
    page.wait_for_url("**/staged/*")
    return urlsplit(page.url).path


def preview_of_a_dataset(page: Page, url: str) -> str:
    """The path of the page that shows a dataset's rows."""
    page.goto(f"{url}/datasets")
    return str(page.locator("main a[href^='/datasets/']").first.get_attribute("href"))


@pytest.mark.e2e
def test_no_word_is_long_enough_to_widen_a_page(stack: Stack, browser: Browser, finished_run: dict[str, Any]) -> None:
    hub = signed_in(browser, stack, stack.stage.parties["clinic"], scheme="light", width=360)
    console = unlocked_console(browser, stack, "clinic", scheme="light", width=360)
    url = stack.groups.console_url("clinic").rstrip("/")
    visits = [(hub, stack.url + path) for path in hub_pages(stack, finished_run).values()]
    visits += [(console, url + path) for path in CONSOLE.values()]
    problems = []
    for page, address in visits:
        page.goto(address)
        assert page.evaluate(LENGTHEN) > 0
        if overflow := page.evaluate(OVERFLOW):
            problems.append(f"{urlsplit(address).path}: {overflow}")
    for page in (hub, console):
        page.context.close()
    assert problems == []


@pytest.mark.e2e
def test_the_way_of_a_file_fits_a_narrow_window(stack: Stack, browser: Browser) -> None:
    hub = signed_in(browser, stack, stack.stage.parties["clinic"], scheme="light", width=NARROW)
    hub.goto(f"{stack.url}/datasets/new")
    hub.get_by_role("button", name="Choose").click()
    hub.locator("#open-upload").wait_for()
    console = unlocked_console(browser, stack, "clinic", scheme="light", width=NARROW)
    console.goto(stack.groups.console_url("clinic") + "add")
    rows = b'{"prompt": "question", "completion": "answer"}\n'
    name = "all-the-notes-of-the-wards-of-the-year-before-last.jsonl"
    console.set_input_files("#file", {"name": name, "mimeType": "application/json", "buffer": rows})
    console.locator("#check").wait_for()
    found = {page.url: page.evaluate(OVERFLOW) for page in (hub, console)}
    for page in (hub, console):
        page.context.close()
    assert not [overflow for overflow in found.values() if overflow]
