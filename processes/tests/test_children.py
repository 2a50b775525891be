"""No child outlives its parent, however the parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from processes.children import end_child

PARENT = """
import signal, sys
from processes.children import start_child
from pathlib import Path
from processes.redis_server import RedisServer
child = start_child([sys.executable, "-c", "import signal; signal.pause()"])
server = RedisServer(Path(sys.argv[1])).start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits it as ignored
print(child.pid, server.pid, flush=True)
signal.pause()
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until_gone(pids: list[int], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if all(gone(pid) for pid in pids):
            return
        time.sleep(0.02)
    raise AssertionError(f"still there: {[pid for pid in pids if not gone(pid)]}")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_with_their_parent(number: signal.Signals, tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    os.kill(parent.pid, number)
    parent.wait(10)
    wait_until_gone(pids)


def test_a_child_that_ignores_the_request_is_ended_all_the_same() -> None:
    stubborn = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    assert end_child(child, grace=0.2) == -signal.SIGKILL
