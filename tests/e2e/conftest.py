"""A real browser for the browser tests; where there is none they fail, and say what to run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.e2e.browser import ARGUMENTS, COMMAND, find_browser

# Playwright's synchronous face runs an event loop of its own; Django must not take that for an asynchronous view.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Headless Chromium. It ends with these tests: while Playwright is there, no other loop runs in this thread."""
    path = find_browser()
    if path is None:
        pytest.fail(f"The browser tests need Chromium. Run: {COMMAND}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(path), args=list(ARGUMENTS))
        yield chromium
        chromium.close()
