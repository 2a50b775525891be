"""Checks of uploaded files, each in a process of its own; the page shows how far one is, since it may take minutes."""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from processes.children import end_child, start_child
from splitcore.errors import AppError
from workers.data.check import MARK, MEMORY_BYTES
from workers.data.store import DatasetStore

CHECK_SECONDS, COLUMNS_SECONDS = 3600.0, 60.0
LINE_BYTES = 1 << 20  # of an answer; what is longer is none
_TIME_SIGNALS = (signal.SIGXCPU, signal.SIGTERM)
CHECKS_AT_ONCE = threading.Semaphore(2)


@dataclass
class CheckJob:
    """One check under way or ended."""

    rows: int = 0
    staged_id: str = ""
    error: dict[str, Any] | None = None
    done: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What the page polls."""
        return {"rows": self.rows, "staged_id": self.staged_id, "error": self.error, "done": self.done}


_jobs: dict[str, CheckJob] = {}


def start_check(key: str, store: DatasetStore, path: Path, **options: Any) -> CheckJob:
    """Check a file in a process, watched by a thread; one check a key at a time."""
    known = _jobs.get(key)
    if known is not None and not known.done:
        return known
    job = _jobs[key] = CheckJob()
    staged_id = secrets.token_hex(8)
    spec = {
        "work": "stage",
        "home": str(store.root.parent),
        "path": str(path),
        "options": {**_plain(options), "staged_id": staged_id},
    }

    def work() -> None:
        try:
            with CHECKS_AT_ONCE:
                for answer in answers(spec, seconds=CHECK_SECONDS):
                    job.rows = answer.get("rows", job.rows)
                    job.staged_id = answer.get("staged_id", "")
        except AppError as error:
            job.error = error.to_dict()
        except Exception as error:
            job.error = AppError("CL-1999", f"The check ended with {type(error).__name__}.").to_dict()
        finally:
            if not job.staged_id:
                shutil.rmtree(store.staging / staged_id, ignore_errors=True)  # a killed check leaves its part
            job.done = True

    threading.Thread(target=work, name=f"check-{key}", daemon=True).start()
    return job


def check_of(key: str) -> CheckJob | None:
    """The check of an upload, if one was started in this process."""
    return _jobs.get(key)


def columns_of_file(path: Path, name: str) -> tuple[str, list[str]]:
    """Kind and columns of a file. Raises AppError CL-1210, 1216, 1224 to 1228."""
    spec = {"work": "columns", "path": str(path), "name": name}
    *_, answer = answers(spec, seconds=COLUMNS_SECONDS)
    return answer["source"], answer["columns"]


def answers(spec: dict[str, Any], *, seconds: float, memory_bytes: int = MEMORY_BYTES) -> Iterator[dict[str, Any]]:
    """What a check says, line by line; the last one is its result. Raises AppError, whatever becomes of it."""
    text = json.dumps({**spec, "memory_bytes": memory_bytes})
    child = start_child([sys.executable, "-m", "workers.data.check", text], output=subprocess.PIPE)
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    last: dict[str, Any] = {}
    try:
        assert child.stdout is not None
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
    return {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
