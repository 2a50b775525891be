"""Ctrl-C before a command has begun: nothing is running yet, so one line is all there is to say."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130  # as shells tell it


@contextmanager
def calm_imports() -> Iterator[None]:
    """Within the block Ctrl-C ends the process at once, with one line; afterwards it is as it was.

    Imports take seconds, and an exception in the middle of one shows whose line it was and helps nobody.
    """

    def end(number: int, frame: object) -> None:
        os.write(2, b"\nStopped before it began.\n")
        os._exit(INTERRUPTED)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run_calmly(work: Callable[[], int | None]) -> int:
    """Run a command; Ctrl-C, where the command has nothing of its own for it, ends it with one line."""
    try:
        return work() or 0
    except KeyboardInterrupt:
        sys.stderr.write("\nStopped.\n")
        return INTERRUPTED
