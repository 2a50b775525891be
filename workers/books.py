"""The site's own decisions on disk, which agent, console and command line all change: one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from processes.file_lock import file_lock
from splitcore.errors import AppError
from workers.settings import WorkerHome, write_private


class SiteBook(BaseModel):
    """A small JSON file in the worker's folder. A changed one is written whole or not at all."""

    model_config = ConfigDict(extra="forbid")
    FILE: ClassVar[str]
    CODE: ClassVar[str]  # of the error when the file cannot be read

    @classmethod
    def path(cls, home: WorkerHome) -> Path:
        """Where the file lies."""
        return home.root / cls.FILE

    @classmethod
    def load(cls, home: WorkerHome) -> Self:
        """Read the file; an unreadable one is an error, not an empty book. Raises AppError."""
        path = cls.path(home)
        try:
            return cls.model_validate_json(path.read_text())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError):
            raise AppError(cls.CODE, f"{path} can't be read.") from None

    @classmethod
    @contextmanager
    def changing(cls, home: WorkerHome) -> Iterator[Self]:
        """Read, change and write with the file's lock held. Nothing is written after an error. Raises AppError."""
        with file_lock(cls.path(home)):
            book = cls.load(home)
            before = book.model_dump_json()
            yield book
            if book.model_dump_json() != before:
                write_private(cls.path(home), book.model_dump_json(indent=2))
