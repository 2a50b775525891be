"""Checks of files from outside, each in a process of its own that is watched here: see `workers.data.check`."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any

from processes.children import end_child, start_child
from splitcore.errors import AppError
from workers.data.check import MARK, MEMORY_BYTES
from workers.data.store import DatasetStore

CHECK_SECONDS, COLUMNS_SECONDS = 3600.0, 60.0
COLUMNS_AT_ONCE = threading.BoundedSemaphore(2)  # each may take its whole bound of memory
LINE_BYTES = 1 << 20  # of an answer; what is longer is none
_TIME_SIGNALS = (signal.SIGXCPU, signal.SIGTERM)


def stage_checked(
    store: DatasetStore, path: Path, *, on_rows: Callable[[int], None] = lambda rows: None, **options: Any
) -> str:
    """Stage a file as `DatasetStore.stage` does; returns the staged dataset's id. Raises AppError.

    Whatever becomes of the check, a file that is not staged leaves nothing behind.
    """
    staged_id = secrets.token_hex(8)
    spec = {
        "work": "stage",
        "home": str(store.root.parent),
        "path": str(path),
        "options": {**_plain(options), "staged_id": staged_id},
    }
    try:
        with closing(answers(spec, seconds=CHECK_SECONDS)) as under_way:
            for answer in under_way:
                on_rows(answer.get("rows", 0))
    except BaseException:
        shutil.rmtree(store.staging / staged_id, ignore_errors=True)  # a killed check leaves its part
        raise
    return staged_id


def columns_of_file(path: Path, name: str) -> tuple[str, list[str]]:
    """Kind and columns of a file. Raises AppError CL-1210, 1216, 1224 to 1228."""
    spec = {"work": "columns", "path": str(path), "name": name}
    if not COLUMNS_AT_ONCE.acquire(timeout=COLUMNS_SECONDS):
        raise AppError("CL-1228", "Too many files are being checked right now.")
    try:
        *_, answer = answers(spec, seconds=COLUMNS_SECONDS)
    finally:
        COLUMNS_AT_ONCE.release()
    return answer["source"], answer["columns"]


def answers(spec: dict[str, Any], *, seconds: float, memory_bytes: int = MEMORY_BYTES) -> Generator[dict[str, Any]]:
    """The answers of a check, line by line; the last one is its result. Raises AppError, whatever becomes of it."""
    text = json.dumps({**spec, "memory_bytes": memory_bytes})
    command = [sys.executable, "-m", "workers.data.check"]
    child = start_child(command, output=subprocess.PIPE, stdin=subprocess.PIPE)
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    last: dict[str, Any] = {}
    try:
        assert child.stdout is not None
        assert child.stdin is not None
        with suppress(OSError), child.stdin:  # it may have ended already
            child.stdin.write(text.encode())
        for last in _read(child.stdout):
            if "error" in last:
                error = last["error"]
                raise AppError(error["code"], error["message"], error["remedy"], details=error["details"])
            yield last
        status = child.wait()
    finally:
        late = not timer.is_alive()
        timer.cancel()
        end_child(child, grace=0.0)
    if not last or "rows" in last:
        raise AppError("CL-1228" if late or -status in _TIME_SIGNALS else "CL-1227")


def _read(output: IO[bytes]) -> Iterator[dict[str, Any]]:
    """The lines that are answers; others (a library's own words, which may hold a row) are dropped."""
    while line := output.readline(LINE_BYTES):
        if line.startswith(MARK.encode()) and line.endswith(b"\n"):
            yield json.loads(line[len(MARK) :])


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    """The options that are set, as JSON takes them."""
    given = {name: value for name, value in options.items() if value is not None}
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}
