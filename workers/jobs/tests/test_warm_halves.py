"""Halves that start without importing anew, and that end with their supervisor."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from processes.fork_server import ForkedProcess, ForkServer
from workers.contracts import Desired
from workers.jobs import supervise
from workers.jobs.folder import JobFolder
from workers.settings import WorkerHome
from workers.tests.support import wait_for

HOLDER = """
import sys, time
from pathlib import Path
from workers.jobs.folder import JobFolder
from workers.jobs.supervise import start_half
from workers.settings import WorkerHome
half = start_half(WorkerHome(Path(sys.argv[1])), JobFolder(Path(sys.argv[1], "one")))
print(half.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerHome]:
    monkeypatch.setenv("CUTLAYER_WARM_HALVES", "1")
    monkeypatch.setattr(supervise, "_fork_servers", {})
    yield WorkerHome(tmp_path)
    for server in supervise._fork_servers.values():
        server.close()


def job_folder(home: WorkerHome, name: str) -> JobFolder:
    folder = JobFolder(home.root / name)
    folder.create()
    return folder


def test_a_half_s_result_and_log_are_its_own_and_the_next_one_starts_at_once(home: WorkerHome) -> None:
    parents = []
    for name in ("one", "two"):
        folder = job_folder(home, name)
        half = supervise.start_half(home, folder)
        assert isinstance(half, ForkedProcess)
        parents.append(psutil.Process(half.pid).ppid())
        assert half.wait() == 1
        result = folder.result()
        assert result is not None
        assert result.error is not None
        assert result.error.code == "CL-1524"  # the folder holds no job
        assert folder.log.read_text().count("the job failed") == 1
    assert parents[0] == parents[1]


def test_a_half_is_started_anew_where_no_server_can_be_had(home: WorkerHome) -> None:
    supervise._fork_servers[home.root] = ForkServer("workers.jobs.nowhere", log=home.logs / "warm.log")
    folder = job_folder(home, "one")
    half = supervise.start_half(home, folder)
    assert isinstance(half, subprocess.Popen)
    assert half.wait() == 1
    assert folder.result() is not None


def test_a_stop_during_the_imports_is_obeyed_at_once(home: WorkerHome) -> None:
    folder = job_folder(home, "one")
    folder.write_desired(Desired.STOPPED)
    assert supervise.start_half(home, folder) is None
    assert not folder.log.exists()


def test_a_half_dies_with_its_supervisor(home: WorkerHome) -> None:
    folder = job_folder(home, "one")
    os.mkfifo(folder.path / "spec.json")  # reading it waits for ever
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(home.root)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    half = psutil.Process(int(holder.stdout.readline()))
    server = half.parent()
    assert server is not None
    holder.kill()
    holder.wait()
    for process in (half, server):
        wait_for(lambda p=process: not p.is_running() or p.status() == psutil.STATUS_ZOMBIE, seconds=5, what="the end")
