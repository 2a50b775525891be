"""Start a child that cannot outlive its parent, whatever ends the parent, and end it within a bounded time."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1


def tether(death_signal: signal.Signals, *, parent: int | None = None) -> Callable[[], None]:
    """A `preexec_fn`: the kernel sends `death_signal` to the child when the parent's starting thread ends (Linux).

    parent: its process id, where the child itself makes the call. On systems without the kernel's call the child
    watches nothing; there the parent's own clean-up is all there is.
    """
    parent = parent or os.getpid()
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def arm() -> None:
        if libc is not None:
            libc.prctl(_PR_SET_PDEATHSIG, death_signal)
            if os.getppid() != parent:  # the parent died before the call
                os._exit(1)

    return arm


def start_child(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    output: IO[Any] | int | None = None,
    errors: IO[Any] | int = subprocess.STDOUT,
    stdin: IO[Any] | int = subprocess.DEVNULL,
    death_signal: signal.Signals = signal.SIGKILL,
    new_group: bool = True,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start `command` tethered to this process. Call it from a thread that lives as long as the child should.

    `errors` go where `output` goes, unless they have a place of their own. With `new_group`, a Ctrl-C in the terminal
    reaches this process alone, which then ends the child in order.
    """
    return subprocess.Popen(  # noqa: S603
        [str(part) for part in command],
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdin=stdin,
        stdout=output,
        stderr=errors if output is not None else None,
        start_new_session=new_group,
        preexec_fn=tether(death_signal),
        **options,
    )


def run_child(
    command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path | None = None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, tethered to this process; what it printed comes back, whatever its status."""
    return subprocess.run(  # noqa: S603
        [str(part) for part in command],
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        preexec_fn=tether(signal.SIGKILL),
    )


def end_child(child: subprocess.Popen[bytes], *, grace: float = 5.0) -> int:
    """Ask the child's group to end, then insist. Returns its exit status."""
    if child.poll() is None:
        _signal_group(child, signal.SIGTERM)
        try:
            return child.wait(grace)
        except subprocess.TimeoutExpired:
            _signal_group(child, signal.SIGKILL)
    return child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        if os.getpgid(child.pid) == child.pid:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    except ProcessLookupError:
        return
