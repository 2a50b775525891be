"""The secret of a job, from which its noise comes: 256 bits that only the data party holds.

It is written and synced before the first hidden state leaves, and lies beside the job's checkpoints: a run that was
killed goes on with the same noise, so that no values are released with two noises, whose mean would tell more.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from splitcore.errors import AppError

BYTES = 32
NAME = "noise.key"


def job_secret(folder: Path) -> bytes:
    """The secret in `folder`, made on first use. Raises AppError CL-1536 where the file is not what was written."""
    path = folder / NAME
    try:
        secret = path.read_bytes()
    except FileNotFoundError:
        return _made(folder, path)
    if len(secret) != BYTES:
        raise AppError("CL-1536", details={"file": NAME})
    return secret


def _made(folder: Path, path: Path) -> bytes:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    secret = secrets.token_bytes(BYTES)
    file, draft = tempfile.mkstemp(dir=folder, prefix=f".{NAME}-")  # readable by nobody else
    try:
        os.write(file, secret)
        os.fsync(file)
        os.link(draft, path)  # never over another one: of two attempts at once, both go on with the first's
    except FileExistsError:
        return job_secret(folder)
    finally:
        os.close(file)
        os.unlink(draft)
    _sync(folder)
    return secret


def _sync(folder: Path) -> None:
    """A name is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
