"""The secret of a job, from which its noise comes: 256 bits that only the data party holds.

It is written and synced before the first hidden state leaves. It lies next to the job's checkpoints and outlives them:
a killed run continues with the same noise, so that no values are released with two noises, whose mean would reveal
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
    """The secret in `folder`, created on first use. Raises AppError CL-1536 if the file is damaged."""
    path = folder / NAME
    if not os.path.lexists(path):
        _make(folder, path)
    try:
        secret = path.read_bytes()
    except FileNotFoundError:  # a dangling link
        secret = b""
    if len(secret) != BYTES or not any(secret):  # a lost write leaves zeros, which are not a secret
        raise AppError("CL-1536", details={"file": NAME})
    return secret


def _make(folder: Path, path: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file, draft = tempfile.mkstemp(dir=folder, prefix=f".{NAME}-")  # readable by nobody else
    try:
        os.write(file, secrets.token_bytes(BYTES))
        os.fsync(file)
        os.link(draft, path)  # never overwrites: of two concurrent attempts, both continue with the first one's secret
    except FileExistsError:
        return
    finally:
        os.close(file)
        os.unlink(draft)
    _sync(folder)


def _sync(folder: Path) -> None:
    """A file's name is only on disk once its folder is synced."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
