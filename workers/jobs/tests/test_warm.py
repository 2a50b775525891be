"""The warm process: halves that start without importing anew, and that die with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from workers.jobs.folder import JobFolder
from workers.jobs.warm import WarmHalf, WarmProcess
from workers.tests.support import wait_for

HOLDER = """
import sys, time
from pathlib import Path
from workers.jobs.folder import JobFolder
from workers.jobs.warm import WarmProcess
half = WarmProcess(Path(sys.argv[1], "warm.log")).start_half(JobFolder(Path(sys.argv[1])))
print(half.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmProcess]:
    process = WarmProcess(tmp_path_factory.mktemp("warm") / "warm.log")
    yield process
    process.close()


def job_folder(path: Path, name: str) -> JobFolder:
    folder = JobFolder(path / name)
    folder.create()
    return folder


def test_a_half_s_result_and_log_are_its_own_and_the_next_one_starts_at_once(tmp_path: Path, warm: WarmProcess) -> None:
    first = job_folder(tmp_path, "one")
    half = warm.start_half(first)
    assert isinstance(half, WarmHalf)
    parent = psutil.Process(half.pid).ppid()
    assert half.wait() == 1
    result = first.result()
    assert result is not None
    assert result.error is not None
    assert result.error.code == "CL-1524"  # the folder holds no job
    assert "AppError" in first.log.read_text()
    second = job_folder(tmp_path, "two")
    again = warm.start_half(second)
    assert isinstance(again, WarmHalf)
    assert psutil.Process(again.pid).ppid() == parent
    assert again.wait() == 1
    assert second.result() is not None


def test_a_killed_half_is_told_by_its_signal(tmp_path: Path, warm: WarmProcess) -> None:
    folder = job_folder(tmp_path, "one")
    os.mkfifo(folder.path / "spec.json")  # reading it waits for ever
    half = warm.start_half(folder)
    assert half is not None
    assert half.poll() is None
    os.kill(half.pid, signal.SIGKILL)
    assert half.wait() == -signal.SIGKILL


def test_a_stop_during_the_imports_is_obeyed_at_once(tmp_path: Path) -> None:
    cold = WarmProcess(tmp_path / "warm.log")
    assert cold.start_half(job_folder(tmp_path, "one"), wanted=lambda: False) is None


def test_a_half_dies_with_its_supervisor(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, "one")
    os.mkfifo(folder.path / "spec.json")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    half = psutil.Process(int(holder.stdout.readline()))
    warm = half.parent()
    assert warm is not None
    holder.kill()
    holder.wait()
    for process in (half, warm):
        wait_for(lambda p=process: not p.is_running() or p.status() == psutil.STATUS_ZOMBIE, seconds=5, what="the end")
