"""A process that has torch loaded and forks the halves, so that a second job does not pay for the imports again.

`python -m workers.jobs.warm` reads one job a line from its standard input and answers with the half's pid, then with
its exit status. It never computes and never touches a GPU; each half is a process and session of its own whose memory
goes with it. It dies with its supervisor, and the half dies with it (the kernel sees to both).
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from processes.children import tether
from workers.jobs.folder import JobFolder
from workers.processes import start

IDLE_SECONDS = 900.0  # without a job for so long it ends, and its memory comes back
START_SECONDS = 120.0  # importing torch from a cold disk


class Half(Protocol):
    """What a supervisor needs of a running half."""

    pid: int

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; none while it runs."""

    def poll(self) -> int | None:
        """Look whether it has ended."""

    def wait(self) -> int:
        """Wait until it has ended."""


def half_command(folder: JobFolder) -> list[str]:
    """The half as a program of its own."""
    return [sys.executable, "-m", "workers.jobs.run", str(folder.path)]


@dataclass
class WarmHalf:
    """A half that was forked by a warm process, whose answers tell of it."""

    pid: int
    parent: WarmProcess
    returncode: int | None = None

    def poll(self) -> int | None:
        """Look whether it has ended. When its parent is gone, so is it."""
        if self.returncode is None:
            answer = self.parent.answer(timeout=0.0)
            if answer is not None:
                self.returncode = answer.get("status", -signal.SIGKILL)
        return self.returncode

    def wait(self) -> int:
        """Wait until it has ended."""
        while self.poll() is None:
            time.sleep(0.01)
        return self.returncode if self.returncode is not None else -signal.SIGKILL


class WarmProcess:
    """The supervisor's end: one warm process, started when it is first needed and again when it has ended."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def start_half(self, folder: JobFolder, *, wanted: Callable[[], bool] = lambda: True) -> Half | None:
        """Fork a half for a job; where the warm process cannot be had, start one in the ordinary way.

        None when the job was no longer wanted before its process was there.
        """
        for _ in range(2):  # it may have ended of idleness just now
            process = self._running()
            try:
                _pipe(process.stdin).write(json.dumps({"folder": str(folder.path)}).encode() + b"\n")
                _pipe(process.stdin).flush()
            except OSError:
                self.close()
                continue
            answer = self._first_answer(wanted)
            if not wanted():
                self.close()  # a half that may just have been forked goes with it
                return None
            if answer is not None and "pid" in answer:
                return WarmHalf(answer["pid"], self)
            self.close()
        return start(half_command(folder), log=folder.log)

    def _first_answer(self, wanted: Callable[[], bool]) -> dict[str, int] | None:
        """The pid; the imports of the first job come before it."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and wanted():
            answer = self.answer(timeout=0.1)
            if answer is not None:
                return answer
        return None

    def answer(self, *, timeout: float) -> dict[str, int] | None:
        """The next line of the warm process; an empty answer when it is gone, none when there is none in time."""
        if self._process is None:
            return {}
        deadline = time.monotonic() + timeout
        output = _pipe(self._process.stdout)
        while b"\n" not in self._unread:
            if not select.select([output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                return None
            chunk = os.read(output.fileno(), 4096)
            if not chunk:
                return {}
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        found: dict[str, int] = json.loads(line)
        return found

    def close(self) -> None:
        """End the warm process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process, self._unread = None, b""

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self.close()
        if self._process is None:
            self._log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "workers.jobs.warm"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    # looking for a GPU must not make one known to this process: a fork could not use it then
                    env={**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
                    start_new_session=True,
                    preexec_fn=tether(signal.SIGKILL),
                )
        return self._process


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise OSError("the warm process has no pipe")
    return stream


def main() -> int:
    """Load what every half loads, then fork on demand until the supervisor or the work is gone."""
    import peft  # noqa: F401
    import torch  # noqa: F401
    import transformers.modeling_utils  # noqa: F401

    import splitcore.training.client
    import splitcore.training.server  # noqa: F401

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints goes to the log
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            break
        folder = JobFolder(Path(json.loads(line)["folder"]))
        arm = tether(signal.SIGKILL)
        pid = os.fork()
        if pid == 0:
            arm()
            os._exit(_become_half(folder))
        answers.write(json.dumps({"pid": pid}) + "\n")
        _, status = os.waitpid(pid, 0)
        answers.write(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}) + "\n")
    return 0


def _become_half(folder: JobFolder) -> int:
    """In the child: a session of its own, its output to the job's log, no way back to the supervisor."""
    from workers.jobs.run import main as run_job

    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    try:
        return run_job([str(folder.path)])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
