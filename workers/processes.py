"""A worker's child processes: each in a group of its own, logging to a file, gone when its parent is gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from processes.children import end_child, start_child


def start(command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start a child, its output appended to `log`; the kernel kills it when this process dies.

    Call it from a thread that lives as long as the child may: the kernel watches the thread, not the process.
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with log.open("ab") as output:
        return start_child(command, env={**os.environ, **(env or {})}, output=output)


class HasPid(Protocol):
    """A process that leads its group."""

    pid: int


def signal_group(process: HasPid, number: signal.Signals) -> None:
    """Send a signal to a child and to whatever it has started."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def end(process: subprocess.Popen[bytes], *, grace: float = 2.0) -> int:
    """TERM, then KILL after `grace` seconds; returns the exit status once the process is gone."""
    return end_child(process, grace=grace)
