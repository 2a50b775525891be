"""What the drills do to the real system, and how they look at it: processes, records, pages, runs."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from demo.launch.groups import BASE_MODEL, CUTLAYER, MODEL_ID
from demo.launch.runs import ENDED, approve_by_all, launch
from demo.launch.stage import Party, Stage
from tests.stack import Stack, wait_for
from workers.hub import HubClient
from workers.settings import WorkerHome

PATIENCE = 180.0  # for what takes seconds on a quiet machine
TRAINING = {"batch_size": 4, "micro_batches": 1, "warmup": 0, "eval_every": 0}
ENDLESS = 100_000  # steps of a run that a drill ends itself


# ── runs ──


def start_run(stage: Stage, name: str, *, steps: int, trains: tuple[str, ...] = ("clinic", "bank")) -> str:
    """Launch a run, wait for every worker's word on the contract, approve it for all."""
    run = launch(stage, name=name, trains=trains, training={**TRAINING, "steps": steps}, evaluate=False)
    reviewed(stage, run)
    approve_by_all(stage, run)
    return run


def reviewed(stage: Stage, run: str) -> dict[str, dict[str, Any]]:
    """Wait until every worker has judged the contract; verdicts by worker id."""

    def look() -> dict[str, dict[str, Any]] | None:
        verdicts = {part["worker"]: part["policy_verdict"] for part in run_of(stage, run)["participants"]}
        return verdicts if all(verdicts.values()) else None

    return wait_for(look, seconds=PATIENCE, what="every worker's verdict")


def run_of(stage: Stage, run: str, party: str = "clinic") -> dict[str, Any]:
    """The run as REST tells it to a party's person."""
    found: dict[str, Any] = stage.parties[party].rest.get(f"/runs/{run}")
    return found


def reach(stage: Stage, run: str, state: str, *, seconds: float = PATIENCE) -> dict[str, Any]:
    """Wait for a state; a run that has ended otherwise is an error at once."""

    def look() -> dict[str, Any] | None:
        found = run_of(stage, run)
        return found if found["state"] in {state} | ENDED else None

    found = wait_for(look, seconds=seconds, what=f"the state {state} of {run}")
    assert found["state"] == state, (found["state"], found["failure"])
    return found


def reach_step(stage: Stage, run: str, step: int) -> dict[str, Any]:
    """Wait until the run has done a step."""

    def look() -> dict[str, Any] | None:
        found = run_of(stage, run)
        return found if found["step"] >= step or found["state"] in ENDED else None

    found = wait_for(look, seconds=PATIENCE, what=f"step {step} of {run}")
    assert found["step"] >= step, (found["state"], found["failure"])
    return found


def part_of(run: dict[str, Any], worker: str) -> dict[str, Any]:
    """A worker's part in a run."""
    [part] = [part for part in run["participants"] if part["worker"] == worker]
    return dict(part)


def records_of(stage: Stage, run: str) -> list[dict[str, Any]]:
    """Every record of a run that a party may see, in order."""
    records: list[dict[str, Any]] = []
    since = 0
    while True:
        page = stage.parties["clinic"].rest.get(f"/runs/{run}/records?since={since}&limit=500")
        records += page["records"]
        if page["seq"] >= page["last"]:
            return records
        since = page["seq"]


def event_of(records: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The first event of a name."""
    return next(record for record in records if record["kind"] == "event" and record["payload"]["name"] == name)


def check_records(records: list[dict[str, Any]], steps: int) -> None:
    """No record is missing or doubled, and every step has its loss."""
    numbers = [record["seq"] for record in records]
    assert numbers == sorted(set(numbers))
    parties = {record["party"] for record in records if record["kind"] == "metric"}
    assert len(parties) >= 2
    for party in parties:
        told = {one["step"] for one in records if one["kind"] == "metric" and one["party"] == party}
        assert told >= set(range(1, steps + 1)), (party, sorted(told))


def moment(text: str) -> datetime:
    """A time as the hub writes it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def page_of(stack: Stack, party: Party, path: str) -> str:
    """A page of the hub as a party's person sees it in a browser."""
    with httpx.Client(base_url=stack.url, follow_redirects=True, timeout=30, trust_env=False) as http:
        form = http.get("/accounts/login/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        fields = {"login": party.email, "password": party.password, "csrfmiddlewaretoken": token[1]}
        http.post("/accounts/login/", data=fields, headers={"Referer": f"{stack.url}/accounts/login/"})
        answer = http.get(path)
        assert answer.status_code == 200, answer.text[:500]
        return answer.text


# ── processes ──


def halves(stack: Stack, *keys: str) -> list[psutil.Process]:
    """Live processes of the halves at some sites: those whose output is a job's log."""
    marks = tuple(f"{stack.groups.home(key).resolve()}/jobs/" for key in keys)
    found = []
    for process in psutil.process_iter():
        try:
            output = os.readlink(f"/proc/{process.pid}/fd/1")
            if output.startswith(marks) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def gone(processes: list[psutil.Process]) -> bool:
    """Whether none of the processes is left."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


def child_of(group: psutil.Process, word: str) -> psutil.Process:
    """The child of a group whose command line has a word."""
    return next(child for child in group.children() if any(word in part for part in child.cmdline()))


def hub_group(stack: Stack) -> psutil.Process:
    """The process that holds the hub together."""
    return psutil.Process(stack.groups.children["hub"].pid)


def hub_variables(stack: Stack) -> dict[str, str]:
    """The environment of the hub's web process, which knows its queue."""
    return child_of(hub_group(stack), "uvicorn").environ()


@contextmanager
def frozen(stack: Stack, key: str) -> Iterator[None]:
    """A worker's agent does not run for a while; its half does."""
    pid = stack.groups.children[key].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


# ── sites ──


def add_canary_site(
    stack: Stack, key: str, *, hub_url: str, rows: Path, heldout: Path, variables: dict[str, str]
) -> Stage:
    """Enrol and equip one more data worker of the clinic, which reaches the hub by `hub_url`.

    Its base model is a copy of its own; `variables` go into its environment. Returns the stage with this worker in
    the clinic's place.
    """
    groups, clinic = stack.groups, stack.stage.parties["clinic"]
    stack.add_site(key)
    made = clinic.rest.post("/workers/enrolment-tokens", {"name": f"{key}-worker", "kind": "data", "labels": []})
    stack.join(key, f"cutlayer worker join {hub_url} --token {made['token']}")
    enrolment = stack.config_of(key)["enrolment"]
    worker = str(enrolment["worker_id"])
    if clinic.rest.get(f"/workers/{worker}")["state"] == "pending":
        clinic.rest.post(f"/workers/{worker}/confirm", {"fingerprint": enrolment["fingerprint"]})
    fingerprint = stack.config_of("compute")["enrolment"]["fingerprint"]
    groups.command(key, "worker", "trust", fingerprint, "--as", "compute")
    model = copy_of_base_model(groups.root / f"{key}-model")
    groups.command(key, "worker", "model", "add", str(model), "--as", MODEL_ID)
    groups.command(key, "worker", "data", "add", str(rows), "--heldout", str(heldout), "--name", key, "--yes")
    groups.start(key, [CUTLAYER, "worker", "start"], groups.worker_environment(key) | variables)
    [dataset] = [one for one in clinic.rest.get("/datasets") if one["name"] == key]
    clinic.rest.post(f"/datasets/{dataset['id']}/offers", {"project": stack.stage.project})
    wait_for(lambda: clinic.rest.get(f"/workers/{worker}")["last_beat_at"], what="the first beat")
    return replace(
        stack.stage,
        workers={**stack.stage.workers, "clinic": worker},
        datasets={**stack.stage.datasets, "clinic": str(dataset["versions"][0]["id"])},
    )


def copy_of_base_model(folder: Path) -> Path:
    """The demo's base model in a folder that a drill may spoil."""
    folder.mkdir()
    for path in BASE_MODEL.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def hub_client(stack: Stack, key: str) -> HubClient:
    """The hub as a worker speaks to it, with that worker's own key."""
    return HubClient.of(WorkerHome(stack.groups.home(key)))


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    """Another content of a file for a while."""
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)
