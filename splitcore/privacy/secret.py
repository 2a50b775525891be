"""The secret of a job, from which its noise comes: 256 bits that only the data party holds.

It is written and synced before the first hidden state leaves, and lies beside the job's checkpoints, which it outlives:
a run that was killed goes on with the same noise, so that no values are released with two noises, whose mean would tell
more.
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
    if not os.path.lexists(path):
        _make(folder, path)
    try:
        secret = path.read_bytes()
    except FileNotFoundError:  # a link that leads nowhere
        secret = b""
    if len(secret) != BYTES or not any(secret):  # zeros are what a lost write leaves, and no secret
        raise AppError("CL-1536", details={"file": NAME})
    return secret


def _make(folder: Path, path: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file, draft = tempfile.mkstemp(dir=folder, prefix=f".{NAME}-")  # readable by nobody else
    try:
        os.write(file, secrets.token_bytes(BYTES))
        os.fsync(file)
        os.link(draft, path)  # never over another one: of two attempts at once, both go on with the first's
    except FileExistsError:
        return
    finally:
        os.close(file)
        os.unlink(draft)
    _sync(folder)


def _sync(folder: Path) -> None:
    """A name is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
