"""The pages of the hub and of a worker's console, as a signed-in person reaches them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from demo.launch.stage import Party
from tests.stack import Stack

PUBLIC = {"landing": "/", "sign-in": "/accounts/login/", "sign-up": "/accounts/signup/", "errors": "/errors/"}
CONSOLE = {
    "console-status": "/",
    "console-datasets": "/datasets",
    "console-add": "/add",
    "console-ledger": "/ledger",
    "console-policy": "/policy",
    "console-doctor": "/doctor",
    "console-pin": "/pin",
}


def hub_pages(stack: Stack, run: dict[str, Any]) -> dict[str, str]:
    """Name → path of every page that a member of the run's organisation sees."""
    stage = stack.stage
    rest = stage.parties["clinic"].rest
    [dataset] = [one for one in rest.get("/datasets") if one["organisation"] == stage.parties["clinic"].organisation]
    [adapter] = [one for one in rest.get("/adapters")["items"] if one["run"] == run["id"]]
    project = stage.project
    return {
        "home": "/home",
        "inbox": "/inbox",
        "projects": "/projects",
        "project": f"/projects/{project}",
        "project-new": "/projects/new",
        "invite": f"/projects/{project}/invite",
        "workers": "/org/workers",
        "enrol": "/workers/new",
        "worker": f"/workers/{stage.workers['clinic']}",
        "datasets": "/datasets",
        "dataset-new": "/datasets/new",
        "dataset": f"/datasets/{dataset['id']}",
        "runs": "/runs",
        "run-new": f"/runs/new?project={project}",
        "run": f"/runs/{run['id']}",
        "approvals": f"/runs/{run['id']}/approvals",
        "adapter": f"/adapters/{adapter['id']}",
        "organisation": "/org",
        "people": "/org/people",
        "invitations": "/org/invitations",
        "tokens": "/org/tokens",
        "audit": "/audit",
    }


def signed_in(browser: Browser, stack: Stack, party: Party, *, scheme: str, width: int) -> Page:
    """A page whose person is signed in to the hub."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.goto(f"{stack.url}/accounts/login/")
    page.fill("[name='login']", party.email)
    page.fill("[name='password']", party.password)
    page.click("form:has([name='login']) button[type='submit']")
    page.wait_for_url("**/home")
    return page


def unlocked_console(browser: Browser, stack: Stack, key: str, *, scheme: str, width: int) -> Page:
    """A page of a worker's console whose person has given the PIN."""
    pin = (stack.groups.home(key) / "keys" / "console.pin").read_text()
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(stack.groups.console_url(key) + "pin")
    page.fill("[name='pin']", pin)
    page.get_by_role("button", name="Unlock").click()
    return page
