"""Starts halves quickly: a process that has imported torch once and forks for each half it is asked to run.

`python -m splitcore.launch.fork_server` reads a JSON line for each wish ({"run": SPEC} or {"kill": PID}) and writes one
for each event ({"started": SPEC, "pid": PID}, {"ended": PID, "status": N}). It never computes itself, so that a fork
finds no thread of torch or gRPC. When its standard input ends, it ends its halves and itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve wishes until standard input ends."""
    import splitcore.launch.process
    import splitcore.training.client
    import splitcore.training.server
    import splitcore.wire.transport.grpc_channel
    import splitcore.wire.transport.grpc_listener  # noqa: F401 - imported here, so that every fork has them

    children: set[int] = set()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wake_read, selectors.EVENT_READ)
    _tell({"ready": os.getpid()})
    buffered = b""
    while True:
        for key, _ in selector.select():
            if key.fileobj == wake_read:
                os.read(wake_read, 4096)
                _reap(children)
                continue
            chunk = os.read(0, 65_536)
            if not chunk:
                for pid in children:
                    _end(pid)
                return
            *lines, buffered = (buffered + chunk).split(b"\n")
            for line in lines:
                _obey(json.loads(line), children)


def _obey(wish: dict[str, Any], children: set[int]) -> None:
    if "kill" in wish:
        if wish["kill"] in children:
            _end(int(wish["kill"]))
        return
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_half(Path(wish["run"]), server)
    children.add(pid)
    _tell({"started": wish["run"], "pid": pid})


def _become_half(spec: Path, server: int) -> None:
    """In the child: forget the parent's pipes, run, and leave without the parent's clean-up."""
    from splitcore.launch.process import run_spec

    status = 2
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it ended before the call
            return
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        status = run_spec(spec)
    finally:
        os._exit(status)


def _reap(children: set[int]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.discard(pid)
            _tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _tell(fact: dict[str, Any]) -> None:
    os.write(1, (json.dumps(fact) + "\n").encode())


if __name__ == "__main__":
    main()
