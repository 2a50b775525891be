"""Starts `python -m PROGRAM ARGUMENTS` without the wait for its imports: a server that has them loaded forks each time.

`ForkServer` is its owner's end. The server reads a JSON line for each process that is to start, and writes one when it
has begun and one when it has ended. It never computes and touches no GPU, so that a fork finds neither threads nor a
driver. Its processes have a session each, end with it, and it ends with its owner, whatever ends that.
docs/adr/0014 says why it is not `multiprocessing`'s.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from threading import Condition, Lock, Thread
from time import monotonic
from typing import Any

from processes.children import tether
from processes.lasting_imports import lasting_imports

IDLE_SECONDS = 900.0
START_SECONDS = 120.0  # importing torch from a cold disk
Program = Callable[[list[str]], int]


class ForkedProcess:
    """A process that a fork server has started, as its owner sees it. Its id is its group's too."""

    def __init__(self, pid: int, changed: Condition) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._changed = changed

    def poll(self) -> int | None:
        """The exit status, the signal's number below zero; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; returns its status. Raises subprocess.TimeoutExpired."""
        with self._changed:
            self._changed.wait_for(lambda: self.returncode is not None, timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0.0)
        return self.returncode

    def kill(self) -> None:
        """End it at once, with whatever it has started."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)


class ForkServer:
    """The owner's end: a server for one program, started when it is first needed and again when it has ended.

    A process that was forked from the owner has a server of its own.

    program: a module whose `main(arguments)` returns an exit status. preload: further modules that it will need.
    log: where the server's own errors go, and what its imports print; the owner's standard error without it.
    idle_seconds: without a process for so long the server ends, and its memory comes back.
    """

    def __init__(
        self, program: str, *, preload: Sequence[str] = (), log: Path | None = None, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self._arguments = [str(idle_seconds), program, *preload]
        self._log = log
        self._server: _Server | None = None
        self._starting = Lock()

    def start(
        self, arguments: Sequence[str], *, log: Path | None = None, wanted: Callable[[], bool] = lambda: True
    ) -> ForkedProcess | None:
        """Start a process, its output appended to `log`. Raises OSError where the server cannot be had.

        None when it was no longer wanted before it had begun: the server, which may still be importing, ends then, as
        it does when this call is interrupted. Its other processes end with it.
        """
        for _ in range(2):  # the server may have ended of idleness just now
            server = self._running()
            with contextlib.ExitStack() as otherwise:
                otherwise.callback(self._end, server)  # a process that may just have been forked goes with it
                process = server.start(arguments, log, wanted)
                if process is not None and wanted():
                    otherwise.pop_all()
                    return process
            if not wanted():
                return None
        raise OSError("the fork server cannot be had")

    def close(self) -> None:
        """End the server, and its processes with it."""
        with self._starting:
            server = self._server
        if server is not None:
            self._end(server)

    def _end(self, server: _Server) -> None:
        with self._starting:
            server.close()
            if self._server is server:  # not one that another call has started meanwhile
                self._server = None

    def _running(self) -> _Server:
        with self._starting:
            if self._server is None or self._server.is_gone:
                self._server = _Server(self._arguments, self._log)
            return self._server


class _Server:
    """One server process. The thread that hears it also starts it: the kernel ends it with the thread that did."""

    def __init__(self, arguments: Sequence[str], log: Path | None) -> None:
        self._owner = os.getpid()
        self._has_ended = False
        self._changed = Condition()
        self._processes: dict[int, ForkedProcess] = {}
        self._numbers = itertools.count()
        self._popen: subprocess.Popen[bytes] | None = None
        self._thread = Thread(target=self._run, args=(arguments, log), daemon=True, name="fork-server")
        atexit.register(self.close)
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._popen is not None or self.is_gone)

    @property
    def is_gone(self) -> bool:
        """Whether it has ended, or is another process's: one from which this process was forked."""
        return self._has_ended or self._owner != os.getpid()

    def start(self, arguments: Sequence[str], log: Path | None, wanted: Callable[[], bool]) -> ForkedProcess | None:
        """Start a process; None where the server is gone or too slow, or the process no longer wanted."""
        number, deadline = next(self._numbers), monotonic() + START_SECONDS
        wish = {"number": number, "arguments": list(arguments), "log": str(log) if log else None}
        with self._changed:
            self._tell(wish)
            while number not in self._processes and not self.is_gone and wanted() and monotonic() < deadline:
                self._changed.wait(0.1)
            return self._processes.get(number)

    def close(self) -> None:
        """End it and its processes; nothing where it is another process's."""
        atexit.unregister(self.close)
        if self._popen is not None and self._owner == os.getpid():
            self._popen.kill()
        self._thread.join()

    def _tell(self, wish: dict[str, Any]) -> None:
        if self._popen is not None and self._popen.stdin is not None and not self.is_gone:
            with contextlib.suppress(OSError, ValueError):  # it has just ended; its thread may have closed the pipe
                self._popen.stdin.write((json.dumps(wish) + "\n").encode())
                self._popen.stdin.flush()

    def _run(self, arguments: Sequence[str], log: Path | None) -> None:
        try:
            with _started([str(self._owner), *arguments], log) as popen:
                with self._changed:
                    self._popen = popen
                    self._changed.notify_all()
                for line in popen.stdout or ():
                    self._hear(json.loads(line))
        finally:
            atexit.unregister(self.close)
            with self._changed:
                self._has_ended = True
                for process in self._processes.values():
                    if process.returncode is None:
                        process.returncode = -signal.SIGKILL  # it goes with its server
                self._changed.notify_all()

    def _hear(self, fact: dict[str, Any]) -> None:
        with self._changed:
            process = self._processes.setdefault(fact["number"], ForkedProcess(fact["pid"], self._changed))
            process.returncode = fact["status"]
            self._changed.notify_all()


def _started(arguments: Sequence[str], log: Path | None) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # looking for a GPU must not make one known to the server: a fork could not use it then
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    }
    with contextlib.ExitStack() as files:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "processes.fork_server", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=files.enter_context(log.open("ab")) if log else None,
            env=environment,
            start_new_session=True,
        )


def main(arguments: Sequence[str]) -> int:
    """The server: load what its processes need, then fork on demand until its owner or the work is gone."""
    owner, idle_seconds, program, *preload = arguments
    tether(signal.SIGKILL, parent=int(owner))()
    answers = os.dup(1)
    os.dup2(2, 1)  # what an import prints is no answer
    with lasting_imports():
        run = import_module(program).main
        for module in preload:
            import_module(module)
    _serve(run, answers, float(idle_seconds))
    return 0


def _serve(run: Program, answers: int, idle_seconds: float) -> None:
    children: dict[int, int] = {}  # process id → number of its wish
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    events = select.poll()
    events.register(0, select.POLLIN)
    events.register(awake, select.POLLIN)
    unread = b""
    while True:
        ready = dict(events.poll(None if children else idle_seconds * 1000))
        if ready.get(0, 0) & ~select.POLLIN or not ready:  # the owner is gone, whatever it still wished for; or idle
            break
        if awake in ready:
            os.read(awake, 4096)
            _reap(children, answers)
        if 0 in ready:
            *lines, unread = (unread + os.read(0, 65_536)).split(b"\n")
            for wish in map(json.loads, lines):
                children[_forked(run, wish, answers)] = wish["number"]
    for pid in children:  # where no kernel does it
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(children: dict[int, int], answers: int) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _answer(answers, children.pop(pid), pid, os.waitstatus_to_exitcode(status))


def _forked(run: Program, wish: dict[str, Any], answers: int) -> int:
    arm = tether(signal.SIGKILL)
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        arm()
        _stand_alone(wish["log"])
        _answer(answers, wish["number"], os.getpid(), None)
        os.closerange(3, 256)  # no way back to the owner
        status = int(run(wish["arguments"]) or 0)
    except BaseException as ending:  # the process ends here, whatever it was
        code = ending.code if isinstance(ending, SystemExit) else ""
        if isinstance(code, int | None):
            status = code or 0
        else:
            traceback.print_exc()
    finally:
        try:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):  # nobody reads it, or the program has closed it
                    stream.flush()
        finally:
            os._exit(status & 0xFF)


def _stand_alone(log: str | None) -> None:
    """A session and signals of its own, nothing to read, and its output in its log."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if log:
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)


def _answer(answers: int, number: int, pid: int, status: int | None) -> None:
    """A line short enough to be written at once, whoever else writes."""
    os.write(answers, (json.dumps({"number": number, "pid": pid, "status": status}) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
