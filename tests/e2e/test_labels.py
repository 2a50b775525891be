"""A classifier by hand: labelled rows from the upload in a browser to an adapter that tells labels with plain PEFT."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.launch.groups import MODEL_ID
from demo.launch.runs import approve_by_all, follow
from demo.launch.stage import Party
from demo.recipe import RECIPE
from tests.e2e.test_main_job import output_of_snippet, request_approval
from tests.stack import Stack

expect.set_options(timeout=30_000)  # a file is looked at in a process of its own, on a machine that others use too
LABELS = ["cheap", "high", "moderate"]
WORDS = {"cheap": "costs little", "moderate": "is fairly priced", "high": "is expensive"}
FOOD = ["fish", "curry", "pasta", "salad"]


def reviews(path: Path, count: int, place: str) -> Path:
    """Short texts about places to eat, each with its price range as the label."""
    rows = []
    for number in range(count):
        label = LABELS[number * 5 % 3]
        rows.append({"text": f"{place} {number} has {FOOD[number % 4]} and {WORDS[label]}.", "label": label})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def signed_in(stack: Stack, browser: Browser, party: Party) -> Page:
    """A browser of a person of the demo."""
    page = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(30_000)
    page.goto("/accounts/login/")
    page.fill("[name='login']", party.email)
    page.fill("[name='password']", party.password)
    page.locator("form:has([name='login']) button[type='submit']").click()
    expect(page).not_to_have_url(re.compile("login"))
    return page


def upload(page: Page, party: Party, file: Path) -> None:
    """Add the file on the worker's own page, where its owner alone sees how often each label occurs."""
    page.goto("/datasets/new")
    page.get_by_role("link", name=f"Choose {party.worker}").or_(
        page.get_by_role("button", name=f"Choose {party.worker}")
    ).first.click()
    with page.context.expect_page() as opened:
        page.locator("#open-upload").click()
    console = opened.value
    console.set_default_timeout(30_000)
    expect(console.locator("#add-form")).to_be_visible()
    console.locator("#file").set_input_files(file)
    expect(console.locator("#map-label")).to_have_value("label")
    console.locator("#fraction").fill("0.3")
    console.get_by_role("button", name="Check all rows").click()
    console.wait_for_url("**/staged/**")
    counts = console.get_by_role("region", name="Labels").locator("tbody tr")
    expect(counts).to_have_count(3)
    shown = {row.locator("td").first.inner_text(): row.locator("td").all_inner_texts()[1:] for row in counts.all()}
    assert {label: sum(map(int, parts)) for label, parts in shown.items()} == {"cheap": 20, "high": 20, "moderate": 20}
    leaves = console.locator("#leaves")
    expect(leaves).to_contain_text('"labels"')
    told = json.loads(leaves.locator("pre").first.inner_text())
    assert told["labels"] == LABELS
    assert 20 not in told.values()
    console.get_by_role("button", name="Confirm and add").click()
    expect(console.get_by_role("heading", level=1)).to_contain_text("is on this worker")
    console.close()


def offered(stack: Stack, party: Party, name: str) -> str:
    """Offer a dataset to the project; the id of its version."""
    [dataset] = [
        d for d in party.rest.get("/datasets") if d["name"] == name and d["organisation"] == party.organisation
    ]
    party.rest.post(f"/datasets/{dataset['id']}/offers", {"project": stack.stage.project})
    assert dataset["versions"][0]["metadata"]["labels"] == LABELS
    return str(dataset["versions"][0]["id"])


def drafted(stack: Stack, versions: dict[str, str]) -> str:
    """A draft of a short run of both data organisations, whose task is not chosen yet."""
    stage, owner = stack.stage, stack.stage.parties["clinic"]
    parties: list[dict[str, Any]] = [
        {"role": "server", "worker": stage.workers["compute"], "receives_adapter": False},
        *({"role": "client", "worker": stage.workers[k], "dataset_version": versions[k]} for k in versions),
    ]
    training = {**RECIPE["training"], "steps": 24, "batch_size": 6, "eval_every": 12}
    config = {**RECIPE, "model": {"name_or_path": MODEL_ID}, "training": training}
    body = {
        "project": stage.project, "organisation": owner.organisation, "name": "Price ranges", "config": config,
        "parties": parties, "public_prompts": ["The Harbour is expensive."], "start_when_approved": True,
        "submit": False,
    }  # fmt: skip
    return str(owner.rest.post("/runs", body)["id"])


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_labelled_rows_become_a_classifier_that_plain_peft_loads(
    stack: Stack, browser: Browser, tmp_path: Path
) -> None:
    clinic, bank = stack.stage.parties["clinic"], stack.stage.parties["bank"]
    page = signed_in(stack, browser, clinic)
    upload(page, clinic, reviews(tmp_path / "reviews.jsonl", 60, "Inn"))
    own = reviews(tmp_path / "own.jsonl", 90, "Cafe")
    stack.groups.command("bank", "worker", "data", "add", str(own), "--name", "reviews", "--eval-fraction", "0.3", "-y")
    run = drafted(stack, {"clinic": offered(stack, clinic, "reviews"), "bank": offered(stack, bank, "reviews")})

    page.goto(f"/runs/{run}/edit")
    labels = page.locator("#f-data-task-sequence-labels")
    expect(labels).to_be_hidden()
    page.locator("#f-data-task").select_option("sequence")
    message = page.locator("#f-data-task-sequence-labels-error")
    expect(message).to_contain_text("Name at least two labels")
    message.get_by_role("button", name="Use cheap, high, moderate").click()
    expect(labels).to_have_value("cheap, high, moderate")
    expect(message).to_be_hidden()
    request_approval(page)
    expect(page).to_have_url(re.compile(r"/approvals$"))
    approve_by_all(stack.stage, run)
    done = follow(stack.groups, stack.stage, run, seconds=300, progress=lambda run: None)

    page.goto(f"/runs/{run}")
    expect(page.locator("#live-tiles")).to_contain_text("Accuracy, held-out rows")
    expect(page.locator("#accuracy-chart [data-chart='summary']")).not_to_contain_text("No points yet")
    expect(page.locator("#macro_f1-chart [data-chart='legend']")).to_contain_text(bank.name)
    assert done["summary"]["accuracy_after"] > done["summary"]["accuracy_before"]
    [adapter] = [one for one in clinic.rest.get("/adapters")["items"] if one["run"] == run]
    page.goto(f"/adapters/{adapter['id']}")
    expect(page.locator("main")).to_contain_text("Macro-F1, tuned")
    snippet = page.locator("pre code").filter(has_text="PeftModel").first.inner_text()
    clinic.rest.download(f"/adapters/{adapter['id']}/download", tmp_path / "adapter.zip")
    printed = output_of_snippet(snippet, tmp_path / "adapter.zip", tmp_path, model_id=MODEL_ID).splitlines()
    assert printed[0] in LABELS
    assert ast.literal_eval(re.findall(r"labels = (\[.*\])", snippet)[0]) == LABELS
    page.context.close()
