"""People register, found organisations and invite each other, in real browsers, with mails in a folder."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.e2e.people import newcomer
from tests.stack import Stack


def test_a_partner_is_invited_reads_without_an_account_registers_and_joins(stack: Stack, browser: Browser) -> None:
    ada = newcomer(stack, browser, "ada@north.example")
    ada.create_organisation("North Hospital", "data")
    ada.go("/projects/new")
    ada.fill(name="Discharge letters", goal="Structured discharge letters")
    ada.page.locator("main form button[type='submit']").first.click()
    expect(ada.page.get_by_role("heading", level=1)).to_contain_text("Discharge letters")
    project_url = ada.page.url
    ada.go(project_url.rstrip("/") + "/invite")
    ada.fill(email="ben@gpu.example")
    kind = ada.page.locator("[name='party_kind']")
    if kind.first.evaluate("node => node.tagName") == "SELECT":
        kind.select_option("compute")
    else:
        ada.page.locator("[name='party_kind'][value='compute']").check()
    ada.press("Send invitation")
    link = stack.link_in_mail("ben@gpu.example", r"/invite/")

    stranger = browser.new_context().new_page()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", level=1)).to_contain_text("North Hospital")
    expect(stranger.locator("body")).to_contain_text(re.compile("invert", re.IGNORECASE))

    ben = newcomer(stack, browser, "ben@gpu.example")
    ben.create_organisation("GPU House", "compute")
    ben.go(link)
    ben.page.locator("[name='organisation']").select_option(label="GPU House")
    ben.page.locator("[name='understood']").check()
    ben.press("Accept and join the project")
    ben.go("/projects")
    expect(ben.page.locator("main")).to_contain_text("Discharge letters")
