"""`make screenshots`: a picture of every page, light and dark, wide and narrow, into screenshots/.

With `--readme` the few that the README shows are written to docs/images/ as well.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from demo.launch.runs import approve_by_all, follow, launch
from demo.launch.stage import DATA_PARTIES
from tests.e2e.browser import ARGUMENTS, COMMAND, find_browser
from tests.e2e.pages import CONSOLE, PUBLIC, hub_pages, signed_in, unlocked_console
from tests.stack import Stack, running_stack

REPO = Path(__file__).resolve().parents[2]
FOLDER = REPO / "screenshots"
README_PAGES = ("run", "console-add")


def take(page: Page, url: str, name: str, scheme: str, width: int) -> None:
    """One picture of a whole page."""
    page.goto(url)
    page.wait_for_timeout(600)
    page.screenshot(path=FOLDER / f"{name}-{scheme}-{width}.png", full_page=True)


def take_all(browser: Browser, stack: Stack, run: dict[str, Any]) -> None:
    """Every page in both themes and at both widths."""
    console = stack.groups.console_url("clinic").rstrip("/")
    for scheme in ("light", "dark"):
        for width in (1280, 360):
            page = signed_in(browser, stack, stack.stage.parties["clinic"], scheme=scheme, width=width)
            for name, path in hub_pages(stack, run).items():
                take(page, stack.url + path, name, scheme, width)
            page.context.close()
            page = unlocked_console(browser, stack, "clinic", scheme=scheme, width=width)
            for name, path in CONSOLE.items():
                take(page, console + path, name, scheme, width)
            page.context.clear_cookies()
            for name, path in PUBLIC.items():
                take(page, stack.url + path, name, scheme, width)
            page.context.close()


def main() -> None:
    """Start the system, train one run, photograph everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readme", action="store_true", help="write docs/images/ as well")
    parser.add_argument("--steps", type=int, default=120, help="steps of the run that is shown")
    options = parser.parse_args()
    path = find_browser()
    if path is None:
        raise SystemExit(f"No browser. Run: {COMMAND}")
    FOLDER.mkdir(exist_ok=True)
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with running_stack(REPO / "var" / "screenshots") as stack, sync_playwright() as playwright:
        training = {"steps": options.steps, "eval_every": max(1, options.steps // 6)}
        run_id = launch(stack.stage, name="Together", trains=DATA_PARTIES, training=training)
        approve_by_all(stack.stage, run_id)
        run = follow(stack.groups, stack.stage, run_id, seconds=900, progress=lambda _: None)
        browser = playwright.chromium.launch(executable_path=str(path), args=list(ARGUMENTS))
        take_all(browser, stack, run)
        browser.close()
    if options.readme:
        target = REPO / "docs" / "images"
        target.mkdir(parents=True, exist_ok=True)
        for name in README_PAGES:
            shutil.copy(FOLDER / f"{name}-light-1280.png", target / f"{name}.png")


if __name__ == "__main__":
    main()
