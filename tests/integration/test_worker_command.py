"""The command `cutlayer` against the real hub: a worker's life from joining to leaving, and a person's runs."""

from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from demo.launch.groups import CUTLAYER, MODEL_ID, REPO
from processes.children import end_child
from processes.redis_server import free_port
from tests.stack import Stack, wait_for

pytestmark = pytest.mark.integration
KEY = "spare"


def cutlayer(stack: Stack, *arguments: str, status: int = 0) -> str:
    """The command as the clinic's engineer runs it."""
    rest = stack.stage.parties["clinic"].rest
    token = {"CUTLAYER_HUB": stack.url, "CUTLAYER_TOKEN": rest._http.headers["Authorization"].removeprefix("Bearer ")}
    done = subprocess.run(
        [CUTLAYER, *arguments],
        env=stack.groups.worker_environment("clinic") | token,
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def spare(stack: Stack) -> Iterator[str]:
    """A further worker of the clinic, joined and confirmed; its id."""
    rest = stack.stage.parties["clinic"].rest
    made = rest.post("/workers/enrolment-tokens", {"name": KEY, "kind": "data", "labels": []})
    stack.groups.consoles[KEY] = ("127.0.0.1", free_port())
    port = str(stack.groups.consoles[KEY][1])
    stack.groups.command(KEY, "worker", "join", stack.url, "--token", made["token"], "--console-port", port)
    enrolment = json.loads((stack.groups.home(KEY) / "config.json").read_text())["enrolment"]
    rest.post(f"/workers/{enrolment['worker_id']}/confirm", {"fingerprint": enrolment["fingerprint"]})
    yield str(enrolment["worker_id"])
    if KEY in stack.groups.children:
        end_child(stack.groups.children.pop(KEY))


def processes_of(stack: Stack, key: str) -> list[psutil.Process]:
    """Every live process that belongs to a site's folder."""
    mark, found = str(stack.groups.home(key)), []
    for process in psutil.process_iter():
        try:
            home = process.environ().get("CUTLAYER_WORKER_HOME")
            if process.status() != psutil.STATUS_ZOMBIE and (
                home == mark or any(mark in word for word in process.cmdline())
            ):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_the_hub_shows_what_the_doctor_finds(stack: Stack, spare: str) -> None:
    stack.groups.start_worker(KEY)
    rest = stack.stage.parties["clinic"].rest
    told = wait_for(lambda: rest.get(f"/workers/{spare}")["checks"], seconds=60, what="the checks on the hub")
    found = json.loads(stack.groups.command(KEY, "worker", "doctor", "--json"))
    assert [check for check in found if check["status"] == "failed"] == []
    assert {check["name"] for check in told} == {check["name"] for check in found}
    speed = wait_for(lambda: rest.get(f"/workers/{spare}")["hardware"].get("speed"), what="the worker's own speed")
    assert speed["float32"] > 0


def test_a_killed_worker_leaves_no_orphan(stack: Stack, spare: str) -> None:
    if KEY not in stack.groups.children:
        stack.groups.start_worker(KEY)
    wait_for(lambda: len(processes_of(stack, KEY)) >= 3, seconds=60, what="agent, queue and Celery")
    agent = stack.groups.children.pop(KEY)
    agent.kill()
    agent.wait()
    wait_for(lambda: not processes_of(stack, KEY), seconds=5, what="the end of all its processes")


def test_a_stopped_worker_ends_within_seconds(stack: Stack, spare: str) -> None:
    stack.groups.start_worker(KEY)
    wait_for(lambda: len(processes_of(stack, KEY)) >= 3, seconds=60, what="agent, queue and Celery")
    agent = stack.groups.children.pop(KEY)
    assert end_child(agent, grace=15) == 0
    assert processes_of(stack, KEY) == []


def test_a_new_key_is_in_force_at_once_and_leaving_ends_the_enrolment(stack: Stack, spare: str) -> None:
    rest = stack.stage.parties["clinic"].rest
    before = rest.get(f"/workers/{spare}")["fingerprint"]
    stack.groups.command(KEY, "worker", "rotate-key")
    after = rest.get(f"/workers/{spare}")
    config = json.loads((stack.groups.home(KEY) / "config.json").read_text())
    assert after["fingerprint"] == config["enrolment"]["fingerprint"] != before
    if after["state"] == "pending":  # a new key is compared by a person again
        rest.post(f"/workers/{spare}/confirm", {"fingerprint": after["fingerprint"]})
    checks = {check["name"]: check for check in json.loads(stack.groups.command(KEY, "worker", "doctor", "--json"))}
    assert checks["Signature"]["status"] == "ok"
    stack.groups.command(KEY, "worker", "leave", "--yes")
    assert not (stack.groups.home(KEY) / "config.json").exists()
    assert rest.get(f"/workers/{spare}")["state"] == "left"


def test_runs_are_listed_watched_and_downloaded(stack: Stack, finished_run: dict[str, Any], tmp_path: Path) -> None:
    run = finished_run["id"]
    assert run in {row["id"] for row in json.loads(cutlayer(stack, "runs", "list", "--json"))}
    assert run in cutlayer(stack, "runs", "list")
    assert json.loads(cutlayer(stack, "runs", "show", run, "--json"))["state"] == "done"
    [line] = cutlayer(stack, "runs", "watch", run, "--json").splitlines()
    assert json.loads(line)["summary"]["loss_after"] == finished_run["summary"]["loss_after"]
    archive = tmp_path / "adapter.zip"
    cutlayer(stack, "adapters", "download", run, "-o", str(archive))
    with zipfile.ZipFile(archive) as opened:
        names = {name.rsplit("/", 1)[-1] for name in opened.namelist()}
    assert {"adapter_config.json", "adapter_model.safetensors", "README.md"} <= names


def test_a_run_is_launched_once_and_a_declined_one_ends_the_watch_with_4(stack: Stack, tmp_path: Path) -> None:
    stage, rest = stack.stage, stack.stage.parties["clinic"].rest
    manifest = json.loads(stack.groups.command("clinic", "worker", "model", "list", "--json"))[0]["manifest_hash"]
    config = tmp_path / "short.yaml"
    config.write_text(
        yaml.safe_dump({"model": {"name_or_path": MODEL_ID, "manifest": manifest}, "training": {"steps": 3}})
    )
    arguments = ["runs", "launch", str(config), "--project", stage.project, "--server", stage.workers["compute"]]
    arguments += ["--data", "clinic-records", "--prompt", "Record:", "--key", "launch-once", "--json"]
    launched = json.loads(cutlayer(stack, *arguments))
    assert launched["state"] == "awaiting_approval"
    assert {part["role"] for part in launched["participants"]} == {"client", "server"}
    assert json.loads(cutlayer(stack, *arguments))["id"] == launched["id"]
    decision = {"contract_hash": launched["contract_hash"], "reason": "Not this one."}
    rest.post(f"/runs/{launched['id']}/decline", decision)
    cutlayer(stack, "runs", "watch", launched["id"], status=4)


def test_a_mistake_in_the_file_is_told_before_anything_is_sent(stack: Stack, tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("model: {name_or_path: a/b}\ntraining: {step: 3}\n")
    arguments = ["--project", stack.stage.project, "--server", "gpu-worker", "--data", "clinic-records"]
    cutlayer(stack, "runs", "launch", str(config), *arguments, status=1)
