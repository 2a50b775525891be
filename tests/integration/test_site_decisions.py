"""What a site decides by itself, on the real system: it approves a contract, and it learns of a copy of its worker."""

from __future__ import annotations

import html
import json
import shutil

import pytest

from demo.launch.groups import CUTLAYER
from demo.launch.runs import approve_by_all, launch
from processes.redis_server import free_port
from tests.integration.drills import TRAINING, page_of, reach, replaced, reviewed, run_of
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.integration
COPY = "bank-copy"


@pytest.mark.timeout(400)
def test_a_run_waits_for_a_site_that_approves_itself_and_then_goes_on_by_itself(stack: Stack) -> None:
    stage, policy = stack.stage, stack.groups.home("bank") / "policy.yaml"
    text = policy.read_text().replace('approve: "hub"', 'approve: "local"')
    assert "local" in text
    with replaced(policy, text.encode()):
        run = launch(
            stage, name="Own approval", trains=("clinic", "bank"), training={**TRAINING, "steps": 4}, evaluate=False
        )
        verdict = reviewed(stage, run)[stage.workers["bank"]]
        assert verdict["accepted"] is False
        approve_by_all(stage, run)
        found = run_of(stage, run)
        assert found["state"] == "awaiting_approval"
        digest = found["contract_hash"]
        for key in ("clinic", "bank"):
            page = html.unescape(page_of(stack, stage.parties[key], f"/runs/{run}/approvals"))
            assert "Waiting for the site" in page
            assert f"cutlayer worker approve {digest}" in page
        assert not (stack.groups.home("bank") / "jobs" / run).exists()
        printed = stack.groups.command("bank", "worker", "approve")
        assert digest in printed
        assert "keeps the first 2 and the last 2 layers and its labels" in printed
        stack.groups.command("bank", "worker", "approve", digest)
        reach(stage, run, "done", seconds=300)


@pytest.mark.timeout(300)
def test_a_copied_worker_is_told_to_both_sides(stack: Stack) -> None:
    home, copy = stack.groups.home("bank"), stack.groups.home(COPY)
    ignored = shutil.ignore_patterns("*.sock", "*.lock", "jobs")
    shutil.copytree(home, copy, ignore=ignored)
    (copy / "jobs").mkdir()
    stack.groups.consoles[COPY] = ("127.0.0.1", free_port())
    config = json.loads((copy / "config.json").read_text())
    config["console_host"], config["console_port"] = stack.groups.consoles[COPY]
    (copy / "config.json").write_text(json.dumps(config))
    stack.groups.start(COPY, [CUTLAYER, "worker", "start"], stack.groups.worker_environment(COPY))
    try:
        for folder in (home, copy):
            wait_for((folder / "copy.json").exists, seconds=90, what=f"the notice in {folder.name}")
        page = page_of(stack, stack.stage.parties["bank"], f"/workers/{stack.stage.workers['bank']}")
        assert "Two processes were connected with this key" in page
    finally:
        stack.stop_site(COPY)
    (home / "copy.json").unlink()
