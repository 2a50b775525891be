"""Files and folders closed to a machine's other accounts, and secrets that no process reads half-written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

UMASK = 0o077
_OTHERS = 0o077


def close_new_files() -> None:
    """Whatever this process and its children create from here on is for its own account alone."""
    os.umask(UMASK)


def private_folder(path: Path) -> Path:
    """The folder, made on first use; closed to other accounts in either case."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & _OTHERS:
        path.chmod(0o700)
    return path


def born(path: Path, make: Callable[[], bytes]) -> bytes:
    """The file's content, made on first use.

    It is linked into place when it is whole, so that of several processes one wins and none reads less than all of it.
    """
    if not path.exists():
        private_folder(path.parent)
        draft = _draft(path, make())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _sync_folder(path.parent)
    return path.read_bytes()


def replace_private(path: Path, content: bytes) -> None:
    """Replace a file in one step; any number of threads and processes may do so at once."""
    _draft(path, content).replace(path)


def tighten(folder: Path) -> int:
    """Take every right of other accounts away below a folder, as older versions left them; returns how many had any."""
    count = 0
    for path in _lax(folder):
        path.chmod(path.stat().st_mode & 0o7700)
        count += 1
    return count


def first_lax(folder: Path) -> Path | None:
    """Something below the folder (or itself) that other accounts have rights to."""
    return next(_lax(folder), None)


def _lax(folder: Path) -> Iterator[Path]:
    """Links and sockets are left alone: a link's rights are its target's, and a socket stands in a closed folder."""
    for root, folders, files in os.walk(folder):
        here = [Path(root), *(Path(root) / name for name in files)]
        folders[:] = [name for name in folders if not (Path(root) / name).is_symlink()]
        for path in here:
            try:
                status = path.lstat()
            except FileNotFoundError:
                continue
            plain = path.is_file() or path.is_dir()
            if plain and not path.is_symlink() and status.st_mode & _OTHERS and status.st_uid == os.getuid():
                yield path


def _draft(path: Path, content: bytes) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        draft.unlink(missing_ok=True)
        raise
    return draft


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
