"""A fork server's processes: each on its own, told of to the end, and gone with the server or its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from processes.children import tether
from processes.fork_server import ForkedProcess, ForkServer
from processes.tests.test_children import wait_until_gone

PROGRAM = """
import os, subprocess, sys, time
from pathlib import Path

def main(arguments):
    print("session", os.getsid(0), "threads", len(os.listdir("/proc/self/task")), flush=True)
    print("a complaint", file=sys.stderr, flush=True)
    if arguments[0] == "raise":
        raise ValueError("no answer")
    if arguments[0] == "work":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(arguments[1]).write_text(str(child.pid))
        time.sleep(600)
    if arguments[0] == "nothing":
        return None
    if arguments[0] == "exit":
        sys.exit(5)
    if arguments[0] == "closed":
        sys.stdout.close()
        return 6
    if arguments[0] == "unread":
        reading, writing = os.pipe()
        os.close(reading)
        sys.stdout = os.fdopen(writing, "w")
        print("lost")
        return 7
    return int(arguments[0])
"""
SLOW = """
import os, time
from pathlib import Path
Path(os.environ["IMPORTING"]).write_text(str(os.getpid()))
time.sleep(600)
"""
OWNER = """
import sys
from pathlib import Path
from processes.fork_server import ForkServer
print("read")
server = ForkServer(sys.argv[1], log=Path(sys.argv[2], "server.log"))
process = server.start(sys.argv[3:], log=Path(sys.argv[2], "log"))
print(process.pid, flush=True)
print(process.wait())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "slow.py").write_text(SLOW)
    os.mkfifo(tmp_path / "told")  # reading it waits until a process has written
    monkeypatch.setenv("IMPORTING", str(tmp_path / "told"))
    monkeypatch.syspath_prepend(tmp_path)  # the server finds what its owner finds
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[ForkServer]:
    found = ForkServer("program", log=folder / "logs" / "server.log")
    yield found
    found.close()


def begun(process: ForkedProcess | None) -> ForkedProcess:
    assert process is not None
    return process


def at_work(server: ForkServer, folder: Path) -> tuple[ForkedProcess, int]:
    """A process that goes on until it is ended, and the id of the child that it has started."""
    process = begun(server.start(["work", str(folder / "told")]))
    return process, int((folder / "told").read_text())


def owner(folder: Path, program: str, *arguments: str) -> subprocess.Popen[str]:
    """A script without a guard, in which everything happens as it is read."""
    script = folder / "script.py"
    script.write_text(OWNER)
    command = [sys.executable, str(script), program, str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_run_side_by_side_each_with_its_session_log_and_status(server: ForkServer, folder: Path) -> None:
    logs = [folder / "one", folder / "two"]
    first, second = (begun(server.start([status], log=log)) for status, log in zip(("3", "raise"), logs, strict=True))
    assert (first.wait(10), second.wait(10)) == (3, 1)
    for process, log in zip((first, second), logs, strict=True):
        said = log.read_text()
        assert f"session {process.pid} threads 1\n" in said
        assert "a complaint" in said
        assert log.stat().st_mode & 0o777 == 0o600
    assert "ValueError: no answer" in logs[1].read_text()
    assert "ValueError" not in logs[0].read_text()


@pytest.mark.parametrize(("way", "status"), [("nothing", 0), ("exit", 5), ("closed", 6), ("unread", 7)])
def test_a_process_ends_with_its_program_s_status_however_that_ends(
    server: ForkServer, folder: Path, way: str, status: int
) -> None:
    assert begun(server.start([way], log=folder / "log")).wait(10) == status
    assert "Traceback" not in (folder / "log").read_text()


def test_the_server_stays_for_the_next_process(server: ForkServer, folder: Path) -> None:
    one, _ = at_work(server, folder)
    two, _ = at_work(server, folder)
    assert psutil.Process(one.pid).ppid() == psutil.Process(two.pid).ppid()
    assert psutil.Process(one.pid).ppid() != os.getpid()


def test_a_killed_process_is_told_by_its_signal_and_the_others_go_on(server: ForkServer, folder: Path) -> None:
    (killed, _), (other, _) = at_work(server, folder), at_work(server, folder)
    assert killed.poll() is None
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait(10) == -signal.SIGKILL
    assert other.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        other.wait(0.0)


def test_what_a_process_has_started_is_ended_with_it(server: ForkServer, folder: Path) -> None:
    process, child = at_work(server, folder)
    process.kill()
    assert process.wait(10) == -signal.SIGKILL
    wait_until_gone([process.pid, child])
    process.kill()  # it is gone: nothing happens


def test_processes_end_with_their_server_and_the_next_one_has_another(server: ForkServer, folder: Path) -> None:
    process, _ = at_work(server, folder)
    parent = psutil.Process(process.pid).ppid()
    os.kill(parent, signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    wait_until_gone([process.pid, parent])
    assert begun(server.start(["0"])).wait(10) == 0


def test_server_and_processes_end_with_a_killed_owner(folder: Path) -> None:
    holder = owner(folder, "program", "work", str(folder / "told"))
    (folder / "told").read_text()
    assert holder.stdout is not None
    assert holder.stdout.readline() == "read\n"
    process = int(holder.stdout.readline())
    parent = psutil.Process(process).ppid()
    holder.kill()
    holder.wait(10)
    wait_until_gone([process, parent])


def test_a_server_that_is_still_importing_ends_with_a_killed_owner(folder: Path) -> None:
    holder = owner(folder, "slow")
    importing = int((folder / "told").read_text())
    holder.kill()
    holder.wait(10)
    wait_until_gone([importing])


def test_a_server_outlives_the_thread_that_asked_first(server: ForkServer, folder: Path) -> None:
    started: list[ForkedProcess | None] = []
    asking = threading.Thread(target=lambda: started.append(server.start(["work", str(folder / "told")])))
    asking.start()
    (folder / "told").read_text()
    asking.join()
    later = begun(server.start(["0"]))
    assert later.wait(10) == 0
    assert begun(started[0]).poll() is None


@pytest.mark.parametrize("is_used", [True, False])
def test_a_process_forked_from_the_owner_has_a_server_of_its_own(
    server: ForkServer, folder: Path, is_used: bool
) -> None:
    before = at_work(server, folder)[0] if is_used else None
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        status = 1
        try:
            status = begun(server.start(["3"])).wait()
            server.close()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    after, _ = at_work(server, folder)
    if before is not None:
        assert before.poll() is None
        assert psutil.Process(after.pid).ppid() == psutil.Process(before.pid).ppid()


def test_a_start_that_is_given_up_leaves_another_s_server_alone(server: ForkServer, folder: Path) -> None:
    first, _ = at_work(server, folder)
    parent = psutil.Process(first.pid).ppid()
    others: list[ForkedProcess] = []

    def wanted() -> bool:
        if not others:  # the server ends, and another call starts the next one
            os.kill(parent, signal.SIGKILL)
            others.append(at_work(server, folder)[0])
        return False

    assert server.start(["0"], wanted=wanted) is None
    assert first.wait(10) == -signal.SIGKILL
    assert others[0].poll() is None


def test_an_interrupted_start_ends_the_server_and_leaves_no_wish(server: ForkServer, folder: Path) -> None:
    other, _ = at_work(server, folder)

    def wanted() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        server.start(["work", str(folder / "told")], wanted=wanted)
    assert other.wait(10) == -signal.SIGKILL
    assert begun(server.start(["0"])).wait(10) == 0


def test_the_owner_s_script_is_not_run_again(folder: Path) -> None:
    said, _ = owner(folder, "program", "7").communicate(timeout=30)
    assert [line for line in said.splitlines() if not line.isdigit()] == ["read"]
    assert said.splitlines()[-1] == "7"


def test_an_import_is_broken_off_when_nothing_is_wanted_of_it(folder: Path) -> None:
    server = ForkServer("slow", log=folder / "log")
    importing: list[int] = []
    wishes = iter([True, True])

    def wanted() -> bool:
        if next(wishes, False):
            return True
        importing.append(int((folder / "told").read_text()) if not importing else 0)
        return False

    assert server.start([], wanted=wanted) is None
    wait_until_gone([importing[0]])


def test_an_idle_server_ends_and_the_next_process_has_another(folder: Path) -> None:
    server = ForkServer("program", log=folder / "log", idle_seconds=0.0)
    parents = []
    for _ in range(2):
        process, _ = at_work(server, folder)
        parents.append(psutil.Process(process.pid).ppid())
        process.kill()
        process.wait(10)
        wait_until_gone([parents[-1]])
    assert parents[0] != parents[1]


def test_a_program_that_cannot_be_imported_is_told(folder: Path) -> None:
    server = ForkServer("nowhere", log=folder / "server.log")
    with pytest.raises(OSError, match="cannot be had"):
        server.start([])
    assert "No module named 'nowhere'" in (folder / "server.log").read_text()


@pytest.mark.parametrize("is_there", [True, False])
def test_a_child_goes_on_only_while_its_parent_is_there(is_there: bool) -> None:
    arm = tether(signal.SIGKILL, parent=os.getpid() if is_there else 1)  # 1: it ended before the kernel was asked
    child = os.fork()
    if child == 0:
        arm()
        os._exit(7)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == (7 if is_there else 1)
