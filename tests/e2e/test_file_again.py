"""A file that was corrected between two choices, with the name and the size that it had, is read as it is now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from workers.console.tests.conftest import RunningConsole, running_console


def lines(count: int, letters: str) -> str:
    return "".join(
        json.dumps({"prompt": letters + f"{number:03}", "completion": "c"}) + "\n" for number in range(count)
    )


def rows_of(page: Page, console: RunningConsole, file: Path) -> int:
    """Choose the file, have it checked, and read in the report how many rows it has."""
    page.goto(console.url + "/add")
    page.locator("#file").set_input_files(file)
    page.click("#check")
    page.wait_for_url("**/staged/*")
    staged = console.home.root / "datasets" / ".staging" / page.url.rsplit("/", 1)[1]
    report = json.loads((staged / "report.json").read_text())
    return int(report["train_rows"]) + int(report["heldout_rows"])


@pytest.mark.e2e
def test_a_corrected_file_of_the_same_name_and_size_is_the_one_that_is_checked(
    browser: Browser, tmp_path: Path
) -> None:
    file = tmp_path / "notes.jsonl"
    with running_console(tmp_path) as console:
        page = browser.new_page()
        page.goto(console.url + "/pin")
        page.fill("[name='pin']", console.pin)
        page.get_by_role("button", name="Unlock").click()
        first, second = lines(40, "a" * 10), lines(20, "b" * 10)
        file.write_text(first)
        for _ in range(2):
            assert rows_of(page, console, file) == 40
            assert len(list((console.home.root / "uploads").glob("*.part"))) == 1, "the same file is not sent again"
        file.write_text(second.ljust(len(first)))
        assert file.stat().st_size == len(first)
        assert rows_of(page, console, file) == 20
        page.close()


@pytest.mark.e2e
def test_what_is_wrong_with_a_file_stands_below_the_bar_at_the_page_s_top(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text('{"prompt": "a", "completion": ""}\n')
    with running_console(tmp_path) as console:
        page = browser.new_page(viewport={"width": 1280, "height": 420})
        page.goto(console.url + "/pin")
        page.fill("[name='pin']", console.pin)
        page.get_by_role("button", name="Unlock").click()
        page.goto(console.url + "/add")
        page.locator("#file").set_input_files(file)
        page.click("#check")
        page.wait_for_selector("#add-problem .cl-problem-title")
        top, bar = page.locator("#add-problem .cl-problem-title").bounding_box(), page.locator(".cl-top").bounding_box()
        assert top
        assert bar
        assert page.evaluate("scrollY") > 0, "the page had to be scrolled"
        assert top["y"] >= bar["y"] + bar["height"]
        page.close()
