"""A worker is enrolled with one command, the page follows, and the link to its own page lets a dataset in."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.e2e.people import newcomer
from tests.stack import Stack

FOLLOWS = 60_000  # milliseconds that a page may take to notice, on a busy machine


def test_worker_joins_by_one_command_and_its_page_takes_a_dataset(stack: Stack, browser: Browser) -> None:
    operator = newcomer(stack, browser, "operator@coast.example")
    operator.create_organisation("Coast Clinic", "data")
    page = operator.go("/workers/new")
    operator.fill(name="ward-7", labels="gpu, building 3")
    operator.press("Create token")
    command = page.locator("#way-pip code", has_text="cutlayer worker join").inner_text()
    assert f"join {stack.url} --token clw_" in command
    expect(page).to_have_url(re.compile("/workers/enrolments/"))  # a reload must not make another token
    token_page = page.url

    stack.add_site("coast")
    printed = stack.join("coast", command)
    shown = page.locator("#checklist .cl-fingerprint-groups")
    expect(shown).to_be_visible(timeout=FOLLOWS)
    fingerprint = str(shown.get_attribute("data-copy-value"))
    assert fingerprint in re.sub(r"\s", "", printed), "both sides show the same fingerprint"

    stack.groups.start_worker("coast")
    expect(page.locator("[data-step-done='Connection']")).to_be_visible(timeout=FOLLOWS)
    operator.press("Confirm match")
    expect(page.get_by_role("heading", level=1)).to_have_text("ward-7")
    expect(page.locator("main")).to_contain_text("Confirmed")
    expect(page.locator("main")).to_contain_text("building 3")
    page.goto(token_page)
    expect(page.locator("[data-step-done='Fingerprint']")).to_be_visible()
    assert "clw_" not in page.content()

    operator.go("/datasets/new")
    operator.press("Choose ward-7")
    with page.context.expect_page() as opened:
        operator.press("Open upload page on your worker")
    console = opened.value
    console.wait_for_load_state()
    expect(console.locator("#file")).to_be_attached(timeout=FOLLOWS)
    assert "#t=" not in console.url, "the ticket leaves the address at once"
    assert console.url.startswith(stack.groups.console_url("coast"))

    operator.go("/org/workers")
    operator.press("ward-7")
    expect(page.get_by_role("heading", level=1)).to_have_text("ward-7")
    operator.press("Quarantine")
    page.locator("dialog#quarantine button[type='submit']").click()
    expect(page.locator("main")).to_contain_text("Blocked", timeout=FOLLOWS)
    stack.stop_site("coast")
