"""Processes of a benchmark: started quickly, one function each, talking over a pipe."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

PRELOAD = ["tests.benchmarks.preload"]


@contextmanager
def child(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Run `target(pipe, *arguments)` in a process of its own; the block has the pipe's other end.

    The process ends with the block: it is asked to by an end of file, and killed when it does not listen.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        process.join(timeout=10.0)
        if process.is_alive():
            process.kill()
            process.join()


def wait_for_end(pipe: Connection) -> None:
    """Block until the other end of the pipe is gone."""
    try:
        while True:
            pipe.recv()
    except EOFError:
        return
