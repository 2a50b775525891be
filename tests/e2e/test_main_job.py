"""The main job by hand, in real browsers, with none of the demo's seeding: from sign-up to an adapter that loads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from demo.launch.groups import BASE_MODEL
from tests.e2e.people import Person, newcomer
from tests.stack import Stack, wait_for

MODEL_ID = "ward/small-model"
PATIENCE = 120_000


def found_project(stack: Stack, browser: Browser) -> tuple[Person, Person]:
    """A hospital's person and a GPU house's person in one project, by mail and invitation."""
    ada = newcomer(stack, browser, "ada@north.example")
    ada.create_organisation("North Hospital", "data")
    ada.go("/projects/new")
    ada.fill(name="Discharge letters", goal="Structured discharge letters")
    ada.page.locator("main form button[type='submit']").first.click()
    expect(ada.page.get_by_role("heading", level=1)).to_contain_text("Discharge letters")
    ada.go(ada.page.url.rstrip("/") + "/invite")
    ada.fill(email="ben@gpu.example")
    ada.choose("party_kind", "compute")
    ada.press("Send invitation")
    link = stack.link_in_mail("ben@gpu.example", r"/invite/")

    stranger = browser.new_context().new_page()
    stranger.goto(link)
    expect(stranger.get_by_role("heading", level=1)).to_contain_text("North Hospital")
    expect(stranger.locator("body")).to_contain_text(re.compile("invert", re.IGNORECASE))
    stranger.context.close()

    ben = newcomer(stack, browser, "ben@gpu.example")
    ben.create_organisation("GPU House", "compute")
    ben.go(link)
    ben.page.locator("[name='organisation']").select_option(label="GPU House")
    ben.page.locator("[name='understood']").check()
    ben.press("Accept and join the project")
    ben.go("/projects")
    expect(ben.page.locator("main")).to_contain_text("Discharge letters")
    return ada, ben


def enrol(person: Person, site: str, kind: str) -> None:
    """Make a token, run the one command at the site, compare, confirm, start; the checklist turns green by itself."""
    stack = person.stack
    person.go("/workers/new")
    person.fill(name=site)
    person.choose("kind", kind)
    person.press("Create token")
    command = person.page.locator("#way-pip pre code").inner_text().strip()
    stack.add_site(site)
    printed = stack.join(site, command)
    fingerprint = stack.config_of(site)["enrolment"]["fingerprint"]
    assert fingerprint[:4] in printed
    confirm = person.page.get_by_role("button", name="Confirm match")
    expect(confirm).to_be_visible(timeout=30_000)
    expect(person.page.locator("#checklist")).to_contain_text(fingerprint[:4])
    confirm.click()
    stack.groups.start_worker(site)
    stack.groups.command(site, "worker", "model", "add", str(BASE_MODEL), "--as", MODEL_ID)
    person.go("/org/workers")
    expect(person.page.locator("main")).to_contain_text(re.compile("online", re.IGNORECASE), timeout=60_000)


def trust_compute(person: Person, site: str, compute: str, run: str) -> None:
    """The data site refuses a compute worker that its people have not compared; the page says what to run there."""
    fingerprint = person.stack.config_of(compute)["enrolment"]["fingerprint"]  # as its operator tells it by telephone
    command = f"cutlayer worker trust {fingerprint}"

    def is_asked() -> bool:
        return person.go(f"{run}/approvals").locator("main code").filter(has_text=command).count() > 0

    wait_for(is_asked, what="the refusal with its command")
    person.stack.groups.command(site, *command.split()[1:])
    wait_for(lambda: not is_asked(), what="the site's consent")


def upload_dataset(person: Person, site: str, file: Path) -> None:
    """From the hub's page to the worker's own page, where the file is dropped; then back."""
    person.go("/datasets/new")
    person.press(f"Choose {site}")
    with person.page.context.expect_page() as opened:
        person.page.locator("#open-upload").click()
    console: Page = opened.value
    console.set_default_timeout(30_000)
    expect(console.locator("#add-form")).to_be_visible()
    assert "#" not in console.url, "the ticket must not stay in the address"
    console.locator("#file").set_input_files(file)
    console.get_by_role("button", name="Check all rows").click()
    console.wait_for_url("**/staged/**")
    expect(console.locator("main")).to_contain_text("CL-1213")
    expect(console.locator("#leaves")).to_contain_text("train_rows")
    console.get_by_role("button", name="Confirm and add").click()
    expect(console.get_by_role("heading", level=1)).to_contain_text("is on this worker")
    console.goto(person.stack.groups.console_url(site) + "datasets/letters/1")
    expect(console.locator("main")).to_contain_text("CL-1453")
    console.close()
    person.go("/datasets")
    person.page.get_by_role("link", name="letters").first.click()
    person.page.locator("#offer-project").select_option(label="Discharge letters")
    person.press("Offer")


def configure(person: Person) -> str:
    """Fill the form, be told what is wrong without losing anything, submit; returns the run's page."""
    person.go("/projects")
    person.page.get_by_role("link", name="Discharge letters").first.click()
    project = person.page.url.rstrip("/").rsplit("/", 1)[-1]
    person.go(f"/runs/new?project={project}")
    page = person.page
    page.locator("select[name^='dataset.']").first.select_option(index=1)
    page.locator("select[name='server']").select_option(index=1)
    page.locator("#show-advanced").check()
    for name, value in {
        "steps": "4",
        "batch_size": "4",
        "micro_batches": "3",
        "eval_every": "2",
        "max_length": "96",
    }.items():
        page.locator(f"[name$='training.{name}']").fill(value)
    page.locator("#public-prompts").fill("Patient Ada Blum, born 1950.")
    request_approval(page)
    expect(page.locator("main")).to_contain_text("can't be split into 3 equal")
    expect(page.locator("[name$='training.steps']")).to_have_value("4")
    page.locator("[name$='training.micro_batches']").fill("2")
    request_approval(page)
    expect(page).to_have_url(re.compile(r"/runs/run_\w+/approvals$"))  # the saved draft's own address is /edit
    found = re.search(r"/runs/(run_\w+)", page.url)
    assert found is not None
    return f"/runs/{found[1]}"


def request_approval(page: Page) -> None:
    """Submit the form and wait for the page that answers: the live preview shows the same problems before it."""
    page.evaluate("window.isFormer = true")
    page.get_by_role("button", name=re.compile("Request approval|Fix|Submit")).last.click()
    arrived = "!window.isFormer && document.readyState === 'complete'"  # asked anew: the policy forbids to poll by eval
    wait_for(lambda: page.evaluate(arrived), what="the page that answers the form")


def approve(person: Person, run: str) -> None:
    """Approve the contract on its page."""
    person.go(f"{run}/approvals")
    person.press("Approve")
    expect(person.page.locator("main")).to_contain_text("Approved")


@pytest.mark.e2e
@pytest.mark.timeout(600)
def test_two_organisations_fine_tune_a_model_by_hand(stack: Stack, browser: Browser, tmp_path: Path) -> None:
    rows = [{"prompt": f"Letter {i}: patient {i}.", "completion": f" PI> {i}"} for i in range(40)]
    file = tmp_path / "letters.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{not json\n")

    ada, ben = found_project(stack, browser)
    enrol(ada, "ward-7", "data")
    enrol(ben, "gpu-1", "compute")
    upload_dataset(ada, "ward-7", file)
    run = configure(ada)
    trust_compute(ada, "ward-7", "gpu-1", run)
    approve(ada, run)
    ben.go("/inbox")
    expect(ben.page.locator("main")).to_contain_text(re.compile("approv", re.IGNORECASE))
    approve(ben, run)

    ada.go(run)
    expect(ada.page.locator("main")).to_contain_text(re.compile("Training|Evaluating|Finishing|Done"), timeout=PATIENCE)
    expect(ada.page.locator("h1 ~ *, .cl-title-row").first).to_contain_text("Done", timeout=PATIENCE)
    reloaded = ben.go(run)
    expect(reloaded.locator("main")).to_contain_text("Done", timeout=30_000)

    ada.go(f"{run}/artefacts")
    ada.page.locator("a[href^='/adapters/']").first.click()
    snippet = ada.page.locator("pre code").filter(has_text="PeftModel").first.inner_text()
    with ada.page.expect_download() as downloaded:
        ada.page.get_by_role("button", name="Download").first.click()
    archive = tmp_path / "adapter.zip"
    downloaded.value.save_as(archive)
    assert "it works" in output_of_snippet(snippet, archive, tmp_path)
    for person, site in ((ada, "ward-7"), (ben, "gpu-1")):
        stack.stop_site(site)
        person.page.context.close()


def output_of_snippet(snippet: str, archive: Path, folder: Path, *, model_id: str = MODEL_ID) -> str:
    """What the page's own lines print in a clean process, with the base model's id pointing to a local folder."""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder / "adapter")
    [config] = (folder / "adapter").rglob("adapter_config.json")
    names = {path.name for path in (folder / "adapter").rglob("*") if path.is_file()}
    assert {"adapter_model.safetensors", "README.md", "provenance.json", "SHA256SUMS", "metrics.csv"} <= names
    assert {"tokenizer.json", "tokenizer_config.json"} <= names
    code = snippet.replace(model_id, str(BASE_MODEL)).replace("the-unpacked-folder", str(config.parent))
    code = re.sub(r""",\s*revision=["'][^"']*["']""", "", code)
    code += "\nimport sys\nassert not {'splitcore', 'workers', 'webapp'} & set(sys.modules)\nprint('it works')\n"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr[-3000:]}"
    return done.stdout
