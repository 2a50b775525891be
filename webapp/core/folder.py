"""The hub's folder: closed to other accounts of the machine, and held by one `serve` at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from processes.private_files import private_folder, tighten
from splitcore.errors import AppError
from webapp.settings.redis import run_folder


@contextlib.contextmanager
def only_one(var_dir: Path, what: str = "serve") -> Iterator[None]:
    """Hold the folder for a `serve` (or restore), or for a `backup`, which may run beside it.

    Raises CL-1902 or CL-1921 where another one has it; the kernel lets go with its holder.
    """
    private_folder(var_dir)
    path = private_folder(run_folder(var_dir)) / f"{what}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        by = f" (process {holder})" if holder.isdigit() else ""
        if what == "backup":
            raise AppError(
                "CL-1921", f"A backup of {var_dir} is being written{by}.", "Try again when it is done."
            ) from None
        raise AppError("CL-1902", f"A hub is running in {var_dir} already{by}.") from None
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def prepare(var_dir: Path) -> Path:
    """Close the folder and all in it, as older versions left it; returns the folder of the logs."""
    tighten(var_dir)
    return private_folder(var_dir / "logs")
