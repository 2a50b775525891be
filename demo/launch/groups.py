"""Folders, addresses and processes of the demo's four groups. Each group ends with the launcher, however that ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from processes.children import end_child, run_child, start_child
from processes.file_lock import HeldError, sole_holder
from processes.redis_server import free_port

REPO = Path(__file__).resolve().parents[2]
BASE_MODEL = Path(os.environ.get("CUTLAYER_DEMO_MODEL", REPO / "demo" / "base_model"))
MODEL_ID = "cutlayer/demo-base"
CUTLAYER = Path(sys.executable).with_name("cutlayer")
WORKERS = ("clinic", "bank", "compute")
HUB_PORT = 8000  # with it the consoles stand at 8733; beside another hub everything takes free ports


class DemoError(RuntimeError):
    """The demo cannot go on; the text says why and where to look."""


def _loopback(number: int) -> str:
    """An own loopback address for each console (cookies are shared by the ports of a host), where the system has it."""
    address = f"127.0.0.{number}"
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return "127.0.0.1"
    return address


def _port(wanted: int, host: str = "127.0.0.1") -> int:
    """The wanted port if it is free, else (or for 0) any other."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, wanted))
            return int(probe.getsockname()[1])
        except OSError:
            return free_port()


@dataclass
class Groups:
    """The four groups and where they live."""

    root: Path
    hub_port: int
    consoles: dict[str, tuple[str, int]]
    tensor_port: int
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    hub_options: dict[str, str] = field(default_factory=dict)  # more of the hub's settings, as variables

    @property
    def hub_url(self) -> str:
        """Address of the hub."""
        return f"http://127.0.0.1:{self.hub_port}"

    def home(self, key: str) -> Path:
        """Folder of one worker."""
        return self.root / key

    def console_url(self, key: str) -> str:
        """Address of one worker's own page."""
        host, port = self.consoles[key]
        return f"http://{host}:{port}/"

    def log(self, name: str) -> Path:
        """Log of one group."""
        return self.root / "logs" / f"{name}.log"

    def hub_environment(self) -> dict[str, str]:
        """The hub's own: no worker reads it."""
        return self._clean_environment() | {
            "DJANGO_SETTINGS_MODULE": "webapp.settings.local",
            "CUTLAYER_VAR_DIR": str(self.root / "hub"),
            "CUTLAYER_BASE_URL": self.hub_url,
            "EMAIL_URL": "filemail://",
            **self.hub_options,
        }

    def worker_environment(self, key: str) -> dict[str, str]:
        """One worker's own: its folder, its hosts, one thread a process (three halves share the machine's cores)."""
        return self._clean_environment() | {
            "CUTLAYER_WORKER_HOME": str(self.home(key)),
            "CUTLAYER_CONSOLE_HOSTS": f"{self.consoles[key][0]},127.0.0.1,localhost",
            "OMP_NUM_THREADS": "1",
            "CUTLAYER_WARM_HALVES": "1",  # importing torch for each of the nine halves would take a minute
            "HF_HUB_OFFLINE": "1",
        }

    def _clean_environment(self) -> dict[str, str]:
        foreign = ("CUTLAYER_", "DJANGO_", "REDIS_URL", "DATABASE_URL", "CELERY_")
        return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}

    def start(self, name: str, command: list[str | Path], environment: dict[str, str]) -> None:
        """Start a group; it gets TERM when the launcher dies, and ends its own children then."""
        self.log(name).parent.mkdir(parents=True, exist_ok=True)
        with self.log(name).open("ab") as log:
            self.children[name] = start_child(
                command, env=environment, cwd=REPO, output=log, death_signal=signal.SIGTERM
            )

    def start_hub(self) -> None:
        """The hub: web server, Celery, Redis; returns when it answers."""
        command: list[str | Path] = [sys.executable, "manage.py", "serve", "--port", str(self.hub_port)]
        self.start("hub", command, self.hub_environment())
        deadline = time.monotonic() + 90
        while True:
            self.check_alive()
            if self._hub_answers():
                return
            if time.monotonic() > deadline:
                raise DemoError(f"The hub isn't responding. Its log is {self.log('hub')}.")
            time.sleep(0.1)

    def _hub_answers(self) -> bool:
        """Whether the web server is there. (`/health` is about Celery too, which may be busy with a long join.)"""
        try:
            return httpx.get(f"{self.hub_url}/health/alive", timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def start_worker(self, key: str) -> None:
        """One worker: agent, console, local broker, Celery."""
        self.start(key, [CUTLAYER, "worker", "start"], self.worker_environment(key))

    def command(self, key: str, *arguments: str) -> str:
        """Run `cutlayer …` as one site's operator would. Raises DemoError with what it printed."""
        done = run_child([CUTLAYER, *arguments], env=self.worker_environment(key), cwd=REPO, timeout=300)
        if done.returncode:
            raise DemoError(f"cutlayer {' '.join(arguments[:3])} failed at {key}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def check_alive(self) -> None:
        """Raise DemoError if a group has ended."""
        for name, child in self.children.items():
            if child.poll() is not None:
                tail = self.log(name).read_text(errors="replace")[-2000:]
                raise DemoError(f"The process group '{name}' ended ({child.returncode}); its log ends with:\n{tail}")

    def end(self) -> None:
        """End every group: workers first, so that they can still tell the hub."""
        for name in [name for name in self.children if name != "hub"] + ["hub"]:
            if name in self.children:
                self.children[name].poll()
                if self.children[name].returncode is None:
                    self.children[name].terminate()
        for name in [name for name in self.children if name != "hub"] + ["hub"]:
            if name in self.children:
                end_child(self.children[name], grace=10)


@contextmanager
def demo_groups(*, port: int = 8000, root: Path | None = None) -> Iterator[Groups]:
    """A fresh folder and free addresses; whatever was started is ended at the end of the block.

    What the last demo left in the folder is moved to `<folder>.previous`, which holds one demo.

    Raises DemoError where another demo lives in the folder.
    """
    root = root or REPO / "var" / "demo"
    root.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(sole_holder(root.with_name(f".{root.name}.lock")))
        except HeldError as error:
            raise DemoError(
                f"A demo runs in {root} already{error.by}. Stop it with Ctrl-C, or give this one its own folder:\n"
                '  make demo ARGS="--folder var/second --port 8100"'
            ) from None
        yield from _groups(port, root)


def _groups(port: int, root: Path) -> Iterator[Groups]:
    if root.exists():
        previous = root.with_name(f"{root.name}.previous")
        shutil.rmtree(previous, ignore_errors=True)
        root.rename(previous)
    root.mkdir(parents=True, mode=0o700)
    hosts = {key: _loopback(number) for number, key in enumerate(WORKERS, start=2)}
    consoles = {
        key: (host, _port((8733 + (place if host == "127.0.0.1" else 0)) if port == HUB_PORT else 0, host))
        for place, (key, host) in enumerate(hosts.items())
    }
    groups = Groups(root=root, hub_port=_port(port), consoles=consoles, tensor_port=free_port())
    try:
        yield groups
    finally:
        groups.end()
