"""`manage.py serve` by itself: a closed folder, links with its own address, and what it refuses at once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import redis

from processes.children import end_child
from processes.private_files import first_lax
from processes.redis_server import free_port
from tests.stack import wait_for

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 20.0  # seconds on a busy machine; Django alone takes most of it


def environment(folder: Path) -> dict[str, str]:
    foreign = ("CUTLAYER_", "DJANGO_", "REDIS_URL", "DATABASE_URL", "EMAIL_URL")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {"CUTLAYER_VAR_DIR": str(folder)}


def serve(folder: Path, port: int, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    # As an account whose umask closes nothing.
    return subprocess.Popen(
        command, cwd=ROOT, env=environment(folder), umask=0o022, start_new_session=True, **pipes, **options
    )


@contextmanager
def running(folder: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    hub = serve(folder, port)
    try:
        url = f"http://127.0.0.1:{port}/health"
        wait_for(lambda: httpx.get(url, timeout=2).status_code == 200, seconds=120, what="the hub")
        yield hub
    finally:
        end_child(hub, grace=15)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int, subprocess.Popen[str]]]:
    """One hub for the tests that leave it whole; its folder is open to others before it starts, as it once was."""
    folder, port = tmp_path_factory.mktemp("hub"), free_port()
    (folder / "media").mkdir()
    (folder / "media" / "old").write_text("from an older version")
    for path in (folder, folder / "media"):
        path.chmod(0o755)
    with running(folder, port) as process:
        yield folder, port, process


def child(hub: subprocess.Popen[str], word: str) -> psutil.Process:
    children = psutil.Process(hub.pid).children()
    return next(one for one in children if any(word in part for part in one.cmdline()))


def test_nothing_in_the_hubs_folder_is_open_to_other_accounts(hub) -> None:
    folder, port, process = hub

    def swept() -> bool:
        parts = httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).json()["parts"]
        return parts["celery"]["seconds_since_sweep"] is not None

    wait_for(swept, what="a sweep by Celery's beat")
    made = {path.name for path in folder.rglob("*")}
    assert {"hub.sqlite3", "secret_key", "redis.conf", "redis.sock", "web.log", "old"} <= made
    assert first_lax(folder) is None
    assert child(process, "uvicorn").environ()["REDIS_URL"].startswith("unix://")


def test_every_link_carries_the_port_at_which_the_hub_listens(hub) -> None:
    _, port, process = hub
    for word in ("uvicorn", "celery"):
        assert child(process, word).environ()["CUTLAYER_BASE_URL"] == f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("port", ["99999", "0", "-1", "http"])
def test_a_number_that_is_no_port_is_refused(tmp_path: Path, port: str) -> None:
    command = [sys.executable, "manage.py", "serve", f"--port={port}"]
    done = subprocess.run(command, cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    assert done.returncode != 0
    assert "isn't a port. Use a number from 1 to 65535." in done.stderr


def test_a_second_hub_in_one_folder_is_refused_before_it_does_anything(hub) -> None:
    folder, _, process = hub
    before = set(folder.rglob("*.log"))
    started = time.monotonic()
    second = serve(folder, free_port())
    said, _ = second.communicate(timeout=60)
    assert second.returncode == 1
    assert "CL-1902" in said
    assert str(process.pid) in said
    assert "The hub:" not in said
    assert time.monotonic() - started < AT_ONCE
    assert process.poll() is None
    assert set(folder.rglob("*.log")) == before


def test_a_taken_port_is_named_at_once_with_who_is_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        started = time.monotonic()
        hub = serve(tmp_path, port)
        said, _ = hub.communicate(timeout=60)
    assert hub.returncode == 1
    assert "CL-1903" in said
    assert f"process {os.getpid()}" in said
    assert "--port" in said
    assert "The hub:" not in said
    assert time.monotonic() - started < AT_ONCE
    assert list(tmp_path.iterdir()) == [], "it is refused before Django is loaded"


def test_a_process_of_this_machine_cannot_make_up_where_a_request_comes_from(hub) -> None:
    """Guesses are counted by address: with one of its own for each, they would never be too many."""
    _, port, _ = hub
    answers = [
        httpx.get(
            f"http://127.0.0.1:{port}/api/v1/me",
            headers={"Authorization": f"Bearer wrong{n}", "X-Forwarded-For": f"203.0.113.{n}"},
            timeout=10,
        ).status_code
        for n in range(11)
    ]
    assert answers == [401] * 10 + [429]


def test_whatever_dies_is_started_again_on_the_same_address(hub) -> None:
    folder, port, process = hub
    queue = redis.Redis.from_url(child(process, "uvicorn").environ()["REDIS_URL"])
    for word in ("-server", "celery", "uvicorn"):
        old = child(process, word)
        old.send_signal(signal.SIGKILL)

        def back(word: str = word, pid: int = old.pid) -> bool:
            return child(process, word).pid != pid

        wait_for(back, what=f"another {word}")
        wait_for(lambda: queue.ping(), what="the queue")
        wait_for(lambda: httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200, what="the hub")
    assert first_lax(folder) is None
