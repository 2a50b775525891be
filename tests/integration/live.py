"""A real hub, with a queue of its own, and the demo's three workers as a test's operators use them."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from demo.datasets import domain_rows
from demo.launch.groups import BASE_MODEL, MODEL_ID, REPO, Groups
from demo.launch.stage import Party, seed
from processes.children import end_child
from processes.redis_server import free_port, start_redis

KEYS = ("clinic", "compute")
FILES = ("train", "heldout")


@dataclass
class LiveGroups(Groups):
    """The demo's process groups with a queue that the test knows, so that its own services reach the sockets."""

    queue: str = ""

    def hub_environment(self) -> dict[str, str]:
        """The hub's own, and its queue."""
        return super().hub_environment() | {"REDIS_URL": self.queue, "CUTLAYER_BEAT_SECONDS": "1"}


@dataclass
class LiveSystem:
    """Hub, a data worker and a compute worker."""

    groups: LiveGroups
    parties: dict[str, Party] = field(default_factory=dict)

    def set_up(self, rows: int) -> None:
        """Seed the hub, enrol and equip two workers, start them."""
        _, self.parties = seed(self.groups)
        ports = f"{self.groups.tensor_port}-{self.groups.tensor_port}"
        for key in KEYS:
            token, (host, port) = self.parties[key].enrolment_token, self.groups.consoles[key]
            console = ("--console-host", host, "--console-port", str(port))
            self.worker(key, "join", self.groups.hub_url, "--token", token, *console, "--tensor-ports", ports)
        self.drive("confirm")
        for key in KEYS:
            shutil.copytree(BASE_MODEL, self.model_folder(key))
            self.worker(key, "model", "add", str(self.model_folder(key)), "--as", MODEL_ID)
            self.groups.start_worker(key)
        self._add_dataset(rows)

    def model_folder(self, key: str) -> Path:
        """A site's own copy of the base model."""
        return self.groups.root / f"model-{key}"

    def _add_dataset(self, rows: int) -> None:
        folder = self.groups.root / "rows"
        folder.mkdir()
        for name, part in zip(FILES, domain_rows("clinic"), strict=True):
            text = "".join(json.dumps(row) + "\n" for row in part[:rows])
            (folder / f"{name}.jsonl").write_text(text)
        heldout = ("--heldout", str(folder / "heldout.jsonl"))
        self.worker("clinic", "data", "add", str(folder / "train.jsonl"), *heldout, "--name", "notes", "--yes")

    def worker(self, key: str, *arguments: str) -> str:
        """`cutlayer worker …` at a site."""
        return self.groups.command(key, "worker", *arguments)

    def manifest(self) -> str:
        """The hash of the registered base model."""
        return str(json.loads(self.worker("clinic", "model", "list", "--json"))[0]["manifest_hash"])

    def drive(self, command: str, **values: Any) -> Any:
        """What a person does on the hub; see drive_hub."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.drive_hub", command, json.dumps(values)],
            cwd=REPO,
            env=self.groups.hub_environment(),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def launch(self, **training: Any) -> str:
        """Configure a run, let the workers' policies judge it and every organisation approve it; returns its id."""
        config = {
            "model": {"name_or_path": MODEL_ID, "manifest": self.manifest()},
            "training": {"batch_size": 4, "max_length": 96, "eval_every": 0, **training},
        }
        run = self.drive("launch", config=config, clients=["clinic-worker"], server="gpu-worker")
        self.drive("approve", run=run["id"])
        return str(run["id"])

    def state_word(self, run: str) -> str:
        """The run's state, read from the hub's database: cheap enough to ask often."""
        file = self.groups.root / "hub" / "hub.sqlite3"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10)) as connection:
            return str(connection.execute("SELECT state FROM runs_run WHERE id = ?", (run,)).fetchone()[0])

    def state(self, run: str) -> dict[str, Any]:
        """Where a run stands."""
        return dict(self.drive("state", run=run))

    def halves(self, key: str) -> list[psutil.Process]:
        """The processes of the halves at a site."""
        mark = str(self.groups.home(key) / "jobs")
        return [p for p in self.processes(key) if any(mark in word for word in _command_line(p))]

    def processes(self, key: str) -> list[psutil.Process]:
        """Every live process that names a site's folder in its command line or environment."""
        mark, found = os.fsencode(self.groups.home(key)), []
        for process in psutil.process_iter():
            try:
                named = any(mark.decode() in word for word in process.cmdline())
                if process.status() != psutil.STATUS_ZOMBIE and (
                    named or mark in Path(f"/proc/{process.pid}/environ").read_bytes()
                ):
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def live_system(root: Path, *, rows: int = 24) -> Iterator[LiveSystem]:
    """Everything running; ended with the block."""
    queue, url = start_redis()
    consoles = {key: ("127.0.0.1", free_port()) for key in KEYS}
    groups = LiveGroups(root=root, hub_port=free_port(), consoles=consoles, tensor_port=free_port(), queue=url)
    try:
        groups.start_hub()
        system = LiveSystem(groups)
        system.set_up(rows)
        yield system
    finally:
        groups.end()
        end_child(queue)
