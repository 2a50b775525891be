"""The pages of the hub and of a worker's console, as a signed-in person reaches them."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from demo.launch.stage import Party
from tests.stack import Stack

PUBLIC = {
    "landing": "/",
    "sign-in": "/accounts/login/",
    "sign-up": "/accounts/signup/",
    "password-reset": "/accounts/password/reset/",
    "errors": "/errors/",
    "error": "/errors/CL-1601",
    "styleguide": "/styleguide/",
}
CONSOLE = {
    "console-status": "/",
    "console-datasets": "/datasets",
    "console-add": "/add",
    "console-ledger": "/ledger",
    "console-policy": "/policy",
    "console-decisions": "/decisions",
    "console-logs": "/logs",
    "console-doctor": "/doctor",
    "console-pin": "/pin",
}
PROJECT_TABS = ("organisations", "datasets", "runs", "adapters", "activity")
RUN_TABS = ("approvals", "config", "privacy", "logs", "artefacts")
ACCOUNT = ("email", "password/change", "2fa", "sessions", "logout")


def hub_pages(stack: Stack, run: dict[str, Any]) -> dict[str, str]:
    """Name → path of every page that a member of the run's organisation sees."""
    stage = stack.stage
    rest = stage.parties["clinic"].rest
    [dataset, *_] = [
        one for one in rest.get("/datasets") if one["organisation"] == stage.parties["clinic"].organisation
    ]
    [adapter] = [one for one in rest.get("/adapters")["items"] if one["run"] == run["id"]]
    project = stage.project
    draft = _draft(stage.parties["clinic"], run)
    return {
        "home": "/home",
        "inbox": "/inbox",
        "projects": "/projects",
        "project": f"/projects/{project}",
        **{f"project-{tab}": f"/projects/{project}/{tab}" for tab in PROJECT_TABS},
        "project-edit": f"/projects/{project}/edit",
        "project-new": "/projects/new",
        "invite": f"/projects/{project}/invite",
        "workers": "/org/workers",
        "enrol": "/workers/new",
        "worker": f"/workers/{stage.workers['clinic']}",
        "worker-edit": f"/workers/{stage.workers['clinic']}/edit",
        "datasets": "/datasets",
        "dataset-new": "/datasets/new",
        "dataset": f"/datasets/{dataset['id']}",
        "runs": "/runs",
        "run-new": f"/runs/new?project={project}",
        "run-edit": f"/runs/{draft}/edit",
        "run": f"/runs/{run['id']}",
        **{f"run-{tab}": f"/runs/{run['id']}/{tab}" for tab in RUN_TABS},
        "compare": f"/runs/compare?run={run['id']}&run={draft}",
        "adapter": f"/adapters/{adapter['id']}",
        "organisation": "/org",
        "people": "/org/people",
        "invitations": "/org/invitations",
        "invitation-new": "/org/invitations/new",
        "organisation-new": "/organisations/new",
        "tokens": "/org/tokens",
        "audit": "/audit",
        "me": "/me",
        **{f"account-{page.replace('/', '-')}": f"/accounts/{page}/" for page in ACCOUNT},
    }


def _draft(party: Party, run: dict[str, Any]) -> str:
    """A draft with the run's configuration."""
    drafts = party.rest.get("/runs?state=draft")["items"]
    return str((drafts[0] if drafts else party.rest.post(f"/runs/{run['id']}/clone"))["id"])


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
