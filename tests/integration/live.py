"""A real hub and real workers for tests: processes, folders, and what people do. Everything ends with the block."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from processes.children import end_child, start_child
from processes.redis_server import free_port

REPO = Path(__file__).resolve().parents[2]
CUTLAYER = Path(sys.executable).with_name("cutlayer")
FOREIGN = ("CUTLAYER_", "DJANGO_", "REDIS_URL", "DATABASE_URL", "CELERY_")
Found = TypeVar("Found")


def wait_for(look: Callable[[], Found | None], *, seconds: float, what: str) -> Found:
    """The first truthy answer of `look`. Fails the test after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {seconds} s")


@dataclass
class LiveHub:
    """`manage.py serve` in a folder of its own, with the demo's organisations."""

    root: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    people: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The hub's own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return clean | {
            "DJANGO_SETTINGS_MODULE": "webapp.settings.local",
            "CUTLAYER_VAR_DIR": str(self.root),
            "CUTLAYER_BEAT_SECONDS": "1",
            "EMAIL_URL": "filemail://",
            "OMP_NUM_THREADS": "1",
            "REDIS_URL": f"redis://127.0.0.1:{self.port + 1}/0",
        }

    def start(self) -> None:
        """Start it and wait until it answers."""
        environment = {name: value for name, value in self.environment.items() if name != "REDIS_URL"}
        command = [sys.executable, "manage.py", "serve", "--port", str(self.port)]
        with (self.root / "serve.log").open("ab") as log:
            self.process = start_child(command, env=environment, cwd=REPO, output=log)
        wait_for(self._answers, seconds=90, what="the hub answers")

    def stop(self) -> None:
        """End it, kindly."""
        if self.process is not None:
            end_child(self.process, grace=10)

    def seed(self) -> None:
        """Three organisations, a person each, a project, three enrolment tokens."""
        self.people = json.loads(self._manage("demo_seed").splitlines()[-1])["parties"]

    def drive(self, command: str, **values: Any) -> Any:
        """Do something on the hub as a person would; see drive_hub."""
        done = subprocess.run(
            [sys.executable, "-m", "tests.integration.drive_hub", command, json.dumps(values)],
            cwd=REPO,
            env=self.environment | {"REDIS_URL": self._redis_url()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    def _redis_url(self) -> str:
        """The queue that `serve` has started, as its own children know it."""
        assert self.process is not None
        for child in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split():
            for entry in Path(f"/proc/{child}/environ").read_bytes().split(b"\0"):
                if entry.startswith(b"REDIS_URL="):
                    return entry.split(b"=", 1)[1].decode()
        raise AssertionError("the hub has no queue")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.root / "serve.log").read_text()[-3000:]
        try:
            return httpx.get(f"{self.url}/health", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def _manage(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=REPO,
            env=self.environment | {"REDIS_URL": self._redis_url()},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()


@dataclass
class LiveWorker:
    """One site's worker: its folder, its command, its process."""

    home: Path
    hub: LiveHub
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The site's own."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return clean | {"CUTLAYER_WORKER_HOME": str(self.home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def command(self, *arguments: str, status: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run `cutlayer worker …`."""
        done = subprocess.run(
            [CUTLAYER, "worker", *arguments],
            env=self.environment,
            cwd=REPO,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done

    def join(self, token: str, *options: str) -> None:
        """Enrol."""
        self.command("join", self.hub.url, "--token", token, "--console-port", str(free_port()), *options)

    def start(self) -> None:
        """Start it; the test goes on at once."""
        self.home.joinpath("logs").mkdir(parents=True, exist_ok=True)
        with (self.home / "logs" / "agent.log").open("ab") as log:
            self.process = start_child([CUTLAYER, "worker", "start"], env=self.environment, cwd=REPO, output=log)

    def stop(self) -> int:
        """TERM, as Ctrl-C would."""
        assert self.process is not None
        return end_child(self.process, grace=10)

    def processes(self) -> list[int]:
        """Every process on this machine that names the worker's folder, zombies left out."""
        mark, found = os.fsencode(self.home), []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                if mark in (entry / "cmdline").read_bytes() or mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                continue
        return found


@contextmanager
def live_hub(root: Path) -> Iterator[LiveHub]:
    """A seeded hub."""
    hub = LiveHub(root)
    try:
        hub.start()
        hub.seed()
        yield hub
    finally:
        hub.stop()
