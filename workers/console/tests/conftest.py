"""A real console: its own process, its own folder, an enrolment with a hub key that the test holds."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from processes.children import end_child, start_child
from processes.redis_server import free_port
from splitcore.wire.transport.certificates import create_identity
from workers.contracts import EnrolReply
from workers.settings import WorkerConfig, WorkerHome

REPO = Path(__file__).resolve().parents[3]


@dataclass
class RunningConsole:
    """The process, its folder, and the hub's key."""

    url: str
    home: WorkerHome
    hub_key: Ed25519PrivateKey
    pid: int

    def ticket(self, **changes: Any) -> str:
        """A ticket as the hub makes it."""
        claims = {"action": "add", "user": "usr_1", "name": "Ada", "org": "org_1", "worker_id": "wrk_1"}
        claims |= {"exp": int(time.time()) + 600, "jti": os.urandom(8).hex(), **changes}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        signature = base64.urlsafe_b64encode(self.hub_key.sign(body.encode())).rstrip(b"=").decode()
        return f"{body}.{signature}"

    @property
    def pin(self) -> str:
        """The PIN as an operator reads it on the machine."""
        from workers.console.pin import read_or_create_pin

        return read_or_create_pin(self.home.root)

    def browser(self) -> Visitor:
        """A fresh browser."""
        return Visitor(self.url)


class Visitor:
    """An HTTP client that keeps cookies and sends the CSRF token, as the page's script does."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, trust_env=False, timeout=20)

    def csrf(self) -> str:
        """The token in the page's body tag."""
        found = re.search(r'"X-CSRFToken": "([^"]+)"', self.http.get("/").text)
        assert found is not None
        return found[1]

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A changing request that wants JSON."""
        headers = {"X-CSRFToken": self.csrf(), "Accept": "application/json", **options.pop("headers", {})}
        return self.http.request(method, path, headers=headers, **options)

    def unlock(self, pin: str) -> httpx.Response:
        """Enter the PIN."""
        return self.send("POST", "/pin", data={"pin": pin})


@pytest.fixture
def console(tmp_path: Path) -> Iterator[RunningConsole]:
    with running_console(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def shared_console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningConsole]:
    """One console for the tests of a file that leave nothing behind that another one would see."""
    with running_console(tmp_path_factory.mktemp("console")) as running:
        yield running


@contextmanager
def running_console(folder: Path, **variables: str) -> Iterator[RunningConsole]:
    """A console of its own below `folder`; `variables` go into its environment."""
    key = Ed25519PrivateKey.generate()
    home = WorkerHome(folder / "home")
    home.create()
    create_identity("wrk_1").save(home.keys)
    reply = EnrolReply(
        worker_id="wrk_1",
        worker_name="ward-7",
        kind="data",
        organisation_id="org_1",
        organisation_name="Clinic",
        fingerprint="ab" * 32,
        hub_public_key_pem=key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        beat_seconds=5,
        hub_time=datetime.now(UTC),
    )
    WorkerConfig(hub_url="http://127.0.0.1:9", enrolment=reply).save(home)
    port = free_port()
    environment = {**os.environ, "CUTLAYER_WORKER_HOME": str(home.root), **variables}
    environment["DJANGO_SETTINGS_MODULE"] = "workers.console.settings"
    code = (
        "import workers.console.asgi as a, uvicorn; a.prepare();"
        f"uvicorn.run(a.application, host='127.0.0.1', port={port}, log_level='warning')"
    )
    log = (folder / "console.log").open("wb")
    process = start_child([sys.executable, "-c", code], env=environment, cwd=REPO, output=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/", process, folder / "console.log")
        yield RunningConsole(f"http://127.0.0.1:{port}", home, key, process.pid)
    finally:
        end_child(process)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, trust_env=False, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            continue
    raise AssertionError(f"the console does not answer: {log.read_text()}")
