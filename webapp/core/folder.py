"""The hub's folder: closed to other accounts of the machine, and held by one `serve` at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from processes.file_lock import HeldError, sole_holder
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
    try:
        with sole_holder(path):
            yield
    except HeldError as error:
        if what == "backup":
            message = f"A backup of {var_dir} is in progress{error.by}."
            raise AppError("CL-1921", message, "Try again when it has finished.") from None
        raise AppError("CL-1902", f"A hub is already running in {var_dir}{error.by}.") from None


def prepare(var_dir: Path) -> Path:
    """Close the folder and all in it, as older versions left it; returns the folder of the logs."""
    tighten(var_dir)
    return private_folder(var_dir / "logs")
