"""Locks between processes of one machine: to take turns at a file, or to have a folder for one alone."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold the lock beside the file, and wait for it. The kernel releases it with its holder."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


class HeldError(Exception):
    """Another process holds the lock: its id, or nothing where it is not known."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.by = f" (process {holder})" if holder.isdigit() else ""


@contextmanager
def sole_holder(path: Path) -> Iterator[None]:
    """Hold this lock file, with this process's id in it. Raises HeldError at once where another process has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise HeldError(holder) from None
    try:
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
