"""Checks of uploaded files under way; the page shows how far one is, since it may take minutes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from splitcore.errors import AppError
from workers.data.checking import stage_checked
from workers.data.store import DatasetStore

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

    def reached(self, rows: int) -> None:
        """So many rows were checked."""
        self.rows = max(self.rows, rows)


_jobs: dict[str, CheckJob] = {}


def start_check(
    key: str,
    store: DatasetStore,
    path: Path,
    *,
    on_end: Callable[[AppError | None], None] = lambda refusal: None,
    **options: Any,
) -> CheckJob:
    """Check a file in a process, watched by a thread; one check per key at a time.

    `on_end` gets the refusal, or None where the file has passed.
    """
    known = _jobs.get(key)
    if known is not None and not known.done:
        return known
    job = _jobs[key] = CheckJob()

    def note(refusal: AppError | None) -> None:
        with suppress(OSError, AppError):  # discarded meanwhile
            on_end(refusal)

    def work() -> None:
        try:
            with CHECKS_AT_ONCE:
                job.staged_id = stage_checked(store, path, on_rows=job.reached, **options)
            note(None)
        except AppError as error:
            note(error)
            job.error = error.to_dict()
        except Exception as error:
            job.error = AppError("CL-1999", f"The check ended with {type(error).__name__}.").to_dict()
        finally:
            job.done = True

    threading.Thread(target=work, name=f"check-{key}", daemon=True).start()
    return job


def check_of(key: str) -> CheckJob | None:
    """The check of an upload, if one was started in this process."""
    return _jobs.get(key)
