"""Tables at the width of a telephone: what doesn't fit can be scrolled to, and nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.e2e.played_hub import Hub, enter, played_hub

# Cells cut off by a box that hides what it can't hold, and tables wider than a box that doesn't scroll.
CUT_OFF = """() => {
    const named = (one) => one.outerHTML.slice(0, 160);
    const cut = [...document.querySelectorAll('main :is(th, td), main :is(th, td) *')].filter((one) => {
        if (one.closest('.visually-hidden, svg') || !one.getClientRects().length) return false;
        const { overflowX, textOverflow } = getComputedStyle(one);
        const hides = overflowX === 'hidden' || overflowX === 'clip' || textOverflow === 'ellipsis';
        return hides && one.scrollWidth > one.clientWidth + 1;
    });
    const loose = [...document.querySelectorAll('main table')].filter((table) => {
        const box = table.parentElement;
        if (!table.getClientRects().length) return false;
        const scrolls = ['auto', 'scroll'].includes(getComputedStyle(box).overflowX) && box.tabIndex === 0;
        return table.scrollWidth > box.clientWidth + 1 && !scrolls;
    });
    return [...cut.map((one) => `cut off: ${named(one)}`), ...loose.map((one) => `does not scroll: ${named(one)}`)];
}"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub of this module's own."""
    with played_hub(tmp_path_factory.mktemp("hub")) as running:
        yield running


def test_no_table_of_a_narrow_page_is_cut_off_without_a_scroll(hub: Hub, browser: Browser) -> None:
    seeded = hub.feed("adapter")
    page = enter(hub, browser, seeded, width=360)
    run, clone = seeded["run"], seeded["clone"]
    paths = [
        f"/adapters/{seeded['adapter']}",
        f"/runs/compare?run={run}&run={clone}",
        f"/runs/{run}",
        f"/projects/{seeded['project']}",
        "/runs",
        "/audit",
        "/org/people",
        "/org/tokens",
        "/accounts/sessions/",
    ]
    problems = []
    for path in paths:
        page.goto(path)
        assert page.locator("main table").count() or path == "/org/tokens", path
        problems += [f"{urlsplit(page.url).path}: {one}" for one in page.evaluate(CUT_OFF)]
    assert problems == []
    page.goto(paths[0])
    page.evaluate("() => { document.querySelector('.cl-scroll').style.overflowX = 'hidden'; }")
    assert page.evaluate(CUT_OFF) != []  # the judge itself finds what does not scroll
