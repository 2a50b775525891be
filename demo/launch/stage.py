"""Everything up to the first run, done as the three organisations' people would: seed, enrol, models, datasets."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from demo.datasets import HELDOUT_ROWS, write_datasets
from demo.launch.groups import BASE_MODEL, MODEL_ID, REPO, WORKERS, DemoError, Groups
from demo.launch.rest import Rest
from processes.children import run_child

DATA_PARTIES = ("clinic", "bank")


@dataclass(frozen=True)
class Party:
    """One organisation of the demo, and its person's way in."""

    key: str
    organisation: str
    name: str
    email: str
    password: str
    worker: str
    enrolment_token: str
    rest: Rest


@dataclass(frozen=True)
class Stage:
    """What the runs need to know."""

    project: str
    parties: dict[str, Party]
    workers: dict[str, str]  # key → worker id
    datasets: dict[str, str]  # key → dataset version id
    files: Path  # folder of the generated rows


def seed(groups: Groups) -> tuple[str, dict[str, Party]]:
    """Three organisations with a person each, and their project."""
    command = [sys.executable, "manage.py", "demo_seed"]
    done = run_child(command, env=groups.hub_environment(), cwd=REPO, timeout=120)
    if done.returncode:
        raise DemoError(f"Seeding the hub failed:\n{done.stderr[-2000:]}")
    data = json.loads(done.stdout.strip().splitlines()[-1])
    parties = {
        key: Party(
            key=key,
            organisation=one["organisation"],
            name=one["organisation_name"],
            email=one["email"],
            password=one["password"],
            worker=one["worker"],
            enrolment_token=one["enrolment_token"],
            rest=Rest(groups.hub_url, one["api_token"]),
        )
        for key, one in data["parties"].items()
    }
    return data["project"], parties


def _enrol(groups: Groups, party: Party) -> str:
    """Join with the one command, compare the fingerprint, confirm it, start the worker; returns its id."""
    host, port = groups.consoles[party.key]
    groups.command(
        party.key,
        *("worker", "join", groups.hub_url, "--token", party.enrolment_token),
        *("--console-host", host, "--console-port", str(port)),
        *("--kind", "data" if party.key in DATA_PARTIES else "compute"),
        *("--tensor-host", "127.0.0.1"),
        *("--tensor-ports", f"{groups.tensor_port}-{groups.tensor_port}"),
    )
    config = json.loads((groups.home(party.key) / "config.json").read_text())
    worker_id, fingerprint = config["enrolment"]["worker_id"], config["enrolment"]["fingerprint"]
    seen = party.rest.get(f"/workers/{worker_id}")
    if seen["fingerprint"] != fingerprint:
        raise DemoError(f"The hub shows a different fingerprint from {party.key}'s worker.")
    if seen["state"] == "pending":
        party.rest.post(f"/workers/{worker_id}/confirm", {"fingerprint": fingerprint})
    return str(worker_id)


def _trust_compute(groups: Groups) -> None:
    """The compute worker's operator tells its fingerprint; each data site lists it. The hub is not asked.

    `join` lets a data site send its activations to nobody whose certificate its people have not compared.
    """
    enrolment = json.loads((groups.home("compute") / "config.json").read_text())["enrolment"]
    for key in DATA_PARTIES:
        groups.command(key, "worker", "trust", enrolment["fingerprint"], "--as", "compute")


def _equip(groups: Groups, party: Party, files: Path) -> None:
    """Register the base model; at a data organisation, add the dataset through the worker's own ingestion."""
    groups.command(party.key, "worker", "model", "add", str(BASE_MODEL), "--as", MODEL_ID)
    if party.key in DATA_PARTIES:
        groups.command(
            party.key,
            *("worker", "data", "add", str(files / f"{party.key}_train.jsonl")),
            *("--heldout", str(files / f"{party.key}_heldout.jsonl"), "--name", f"{party.key}-records", "--yes"),
        )


def _offer(party: Party, project: str) -> str:
    """Offer the dataset to the project; returns the id of its version."""
    [dataset] = [one for one in party.rest.get("/datasets") if one["organisation"] == party.organisation]
    party.rest.post(f"/datasets/{dataset['id']}/offers", {"project": project})
    return str(dataset["versions"][0]["id"])


def set_stage(groups: Groups, *, heldout_rows: int = HELDOUT_ROWS) -> Stage:
    """From running hub to ready workers."""
    files = groups.root / "rows"
    write_datasets(files, heldout_rows=heldout_rows)
    project, parties = seed(groups)
    with ThreadPoolExecutor(len(WORKERS)) as pool:
        ids = dict(zip(WORKERS, pool.map(lambda key: _enrol(groups, parties[key]), WORKERS), strict=True))
        _trust_compute(groups)
        for key in WORKERS:
            groups.start_worker(key)  # in this thread: the kernel tethers a child to the thread that started it
        list(pool.map(lambda key: _equip(groups, parties[key], files), WORKERS))
    datasets = {key: _offer(parties[key], project) for key in DATA_PARTIES}
    for key in WORKERS:
        for worker in parties[key].rest.poll(f"/workers/{ids[key]}", seconds=90, pause=0.2):
            groups.check_alive()
            if worker["last_beat_at"] and worker["models"]:
                break
    return Stage(project=project, parties=parties, workers=ids, datasets=datasets, files=files)
