"""A backup's database and folders take the place of the hub's: all of them, or nothing, and what was there is kept.

Until it is done the replaced database lies beside the new one, under a name by which `serve`, `migrate` and a later
restore notice one that was cut off, and a note says where the folders went: `undo` puts all of it back.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.db import connection, connections, transaction

from processes.private_files import private_folder, replace_private
from splitcore.errors import AppError
from webapp.backups.archive import PARTS
from webapp.backups.databases import KEPT, NAMES, engine, run_tool, sqlite_file

NOTE = "replacing.json"


@dataclass(frozen=True)
class Note:
    """In the folder of the unpacked backup: where what it replaces goes, and which of its parts go to the hub."""

    aside: str
    parts: list[str]


class Swap(Protocol):
    """A database that changes places with a dumped one."""

    def is_kept(self) -> bool:
        """Whether one is set aside: a restore is under way, or was cut off."""

    def begin(self, dump: Path) -> None:
        """Set the database aside and load the dump."""

    def undo(self) -> None:
        """Bring back what was set aside, however far `begin` has come."""

    def finish(self, aside: Path) -> None:
        """Put away what was set aside."""


class FileSwap:
    """SQLite: a file, with what SQLite keeps beside it. One that cannot be read is moved all the same."""

    def __init__(self) -> None:
        self._target = sqlite_file()
        self._kept = self._target.with_name(f"{self._target.name}.{KEPT}")

    def is_kept(self) -> bool:
        """See `Swap.is_kept`."""
        return self._kept.exists()

    def begin(self, dump: Path) -> None:
        """See `Swap.begin`. Where there was no database, an empty one is set aside."""
        if not self._target.exists():
            self._target.touch(mode=0o600)
        _move_database(self._target, self._kept)
        shutil.move(dump, self._target)

    def undo(self) -> None:
        """See `Swap.undo`."""
        if self._kept.exists():  # else not all of it was moved, and what is at the target is what was there
            for name in _of_database(self._target):
                name.unlink(missing_ok=True)
        _move_database(self._kept, self._target)

    def finish(self, aside: Path) -> None:
        """See `Swap.finish`."""
        if self._kept.stat().st_size == 0:
            self._kept.unlink()
        else:
            _move_database(self._kept, private_folder(aside) / NAMES["sqlite"])


class SchemaSwap:
    """PostgreSQL: the schema `public`. What it held is in a dump by then."""

    def is_kept(self) -> bool:
        """See `Swap.is_kept`."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [KEPT])
            return cursor.fetchone() is not None

    def begin(self, dump: Path) -> None:
        """See `Swap.begin`. Raises AppError CL-1923."""
        _statements(f"ALTER SCHEMA public RENAME TO {KEPT}", "CREATE SCHEMA public")
        run_tool("pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(dump))

    def undo(self) -> None:
        """See `Swap.undo`."""
        if self.is_kept():
            _statements("DROP SCHEMA public CASCADE", f"ALTER SCHEMA {KEPT} RENAME TO public")

    def finish(self, aside: Path) -> None:
        """See `Swap.finish`."""
        _statements(f"DROP SCHEMA {KEPT} CASCADE")


def check_no_restore_was_cut_off() -> None:
    """A hub does not start on a database that is half restored. Raises AppError CL-1921."""
    if _swap().is_kept():
        raise AppError(
            "CL-1921",
            f"A restore was interrupted. The database it was replacing is still there as {KEPT}.",
            "`manage.py restore --undo` restores the previous state. Nothing is lost.",
        )


@contextmanager
def hub_replaced(staged: Path, aside: Path) -> Iterator[None]:
    """Put what was unpacked into `staged` in the place of the hub's; if the block fails, all comes back as it was.

    Once the block has ended well, what was there is in `aside`. Raises AppError CL-1921, CL-1923, CL-1924.
    """
    check_no_restore_was_cut_off()
    connections.close_all()
    swap = _swap()
    note = Note(str(aside), [part for part in PARTS if (staged / part).exists()])
    replace_private(staged / NOTE, json.dumps(asdict(note)).encode())
    try:
        swap.begin(staged / NAMES[engine()])
        _folders_move(staged, note)
        yield
    except BaseException:
        _put_back(swap, staged, note)
        raise
    connections.close_all()
    try:
        swap.finish(aside)
    except Exception as error:
        raise AppError("CL-1924", f"The replaced database is still there as {KEPT}: {error}") from None


def undo(staged: Path) -> None:
    """Put back what a restore that was cut off was to replace. Raises AppError CL-1921 where there was none."""
    swap = _swap()
    if not swap.is_kept():
        raise AppError("CL-1921", "No restore was interrupted here.", "There is nothing to undo.")
    try:
        note = Note(**json.loads((staged / NOTE).read_text()))
    except (OSError, ValueError, TypeError):
        raise AppError(
            "CL-1921", f"{staged / NOTE} can't be read. It records where the folders went.", "See docs/backup.md."
        ) from None
    _put_back(swap, staged, note)


def _put_back(swap: Swap, staged: Path, note: Note) -> None:
    """The database goes last: until then it can be seen that something is amiss, and done again."""
    connections.close_all()
    var_dir, aside = Path(settings.VAR_DIR), Path(note.aside)
    for part in reversed(PARTS):
        if part in note.parts and not (staged / part).exists():
            (var_dir / part).rename(staged / part)
        if (aside / part).exists():
            (aside / part).rename(var_dir / part)
    dump_drop(aside)
    swap.undo()


def dump_drop(aside: Path) -> None:
    """Drop the dump of a database that is in its place; the folder stays if anything else is in it."""
    (aside / NAMES["postgresql"]).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        aside.rmdir()


def _folders_move(staged: Path, note: Note) -> None:
    var_dir, aside = Path(settings.VAR_DIR), Path(note.aside)
    for part in PARTS:
        if (var_dir / part).exists():
            (var_dir / part).rename(private_folder(aside) / part)
        if part in note.parts:
            (staged / part).rename(var_dir / part)


def _swap() -> Swap:
    return FileSwap() if engine() == "sqlite" else SchemaSwap()


def _of_database(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def _move_database(source: Path, target: Path) -> None:
    """Move the database with what SQLite keeps beside it; the file itself goes last."""
    for old, new in reversed(list(zip(_of_database(source), _of_database(target), strict=True))):
        if old.exists():
            shutil.move(old, new)


def _statements(*statements: str) -> None:
    """Run these in one transaction, and close the connection, which may remember what they changed."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connections.close_all()
