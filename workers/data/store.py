"""The versions on disk, and the rows for a job. Layout: datasets/<name>/v<N>/{train,heldout}.jsonl, metadata.json."""

from __future__ import annotations

import json
import logging
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from processes.file_lock import file_lock
from processes.leftovers import is_old
from processes.private_files import born, private_folder, replace_private
from splitcore.bounds import LINE
from splitcore.errors import AppError
from splitcore.names import names_alike
from workers.contracts import DatasetMetadata, Histogram
from workers.data.ingest import NAME, Report, disk_errors, stage
from workers.data.uploads import UploadStore

log = logging.getLogger(__name__)
COLUMNS_TOLD, COLUMN_LETTERS = 64, 120  # as the metadata has room for
KEY_BYTES = 32  # of the site's key for digests
_PARTS = ("train", "heldout")
_NUMBERED = re.compile(r"v[1-9][0-9]{0,8}")
_reported: set[Path] = set()  # what cannot be read: the agent looks every few seconds, and one line in the log will do


@dataclass(frozen=True)
class StoredDataset:
    """One version on disk."""

    folder: Path
    metadata: DatasetMetadata

    def train_rows(self) -> Iterator[dict[str, Any]]:
        """Rows to train on, in the file's order."""
        return self._rows("train")

    def heldout_rows(self) -> Iterator[dict[str, Any]]:
        """Rows to evaluate on."""
        return self._rows("heldout")

    @property
    def has_rows(self) -> bool:
        """Whether both files of rows are there: somebody may have removed them by hand."""
        try:
            return all((self.folder / f"{part}.jsonl").is_file() for part in _PARTS)
        except OSError:  # closed to this account
            return False

    @property
    def bytes(self) -> int:
        """What it occupies on the disk."""
        return bytes_below(self.folder)

    def _rows(self, part: str) -> Iterator[dict[str, Any]]:
        with (self.folder / f"{part}.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)


def bytes_below(folder: Path) -> int:
    """The bytes of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _entries(folder: Path) -> list[Path]:
    """What a dataset's folder holds; nothing where it is gone or cannot be read."""
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        _report(folder, error)
        return []


def _read(folder: Path) -> StoredDataset | None:
    """A version; None, and a line in the log, where its metadata cannot be read: the others can still be used."""
    path = folder / "metadata.json"
    try:
        stored = StoredDataset(folder, DatasetMetadata.model_validate_json(path.read_bytes()))
    except FileNotFoundError:  # deleted meanwhile, or removed by hand
        return None
    except (OSError, ValueError) as error:
        _report(path, error)
        return None
    _reported.discard(path)
    return stored


def _report(path: Path, error: Exception) -> None:
    if path not in _reported:
        log.error("%s cannot be read: %s. Delete its folder and add the file again.", path, type(error).__name__)
    _reported.add(path)


def _check_columns(columns: list[str]) -> None:
    """Only so many names, and none without an end, are told to the hub. Raises CL-1231."""
    if len(columns) > COLUMNS_TOLD:
        raise AppError("CL-1231", f"The file has {len(columns):,} columns, but the hub accepts {COLUMNS_TOLD} names.")
    if not all(re.fullmatch(LINE, column) and len(column) <= COLUMN_LETTERS for column in columns):
        raise AppError("CL-1231", f"A column's name has more than {COLUMN_LETTERS} characters or isn't one plain line.")


class DatasetStore:
    """All datasets of one worker."""

    def __init__(self, home: Path) -> None:
        self.root = home / "datasets"
        self.staging = self.root / ".staging"
        self.numbers = self.root / ".numbers"  # of each name the highest that was ever given
        self.key_file = home / "keys" / "datasets.key"

    @property
    def key(self) -> bytes:
        """The site's own key for digests, born here on first use. Raises CL-1232 where it is not what was written."""
        key = born(self.key_file, lambda: secrets.token_bytes(KEY_BYTES))
        if len(key) != KEY_BYTES or not any(key):  # zeros are what a lost write leaves, and everybody knows them
            raise AppError("CL-1232")
        return key

    def stage(self, path: Path, *, quota: int | None = None, **options: Any) -> Report:
        """Check a file; see `workers.data.ingest.stage`. `quota` bounds what all datasets take together."""
        self.tidy()
        left = None if quota is None else max(0, quota - self.used_bytes())
        return stage(self.staging, path, key=self.key, quota_bytes=left, **options)

    def staged_report(self, staged_id: str) -> dict[str, Any]:
        """The report of a staged dataset. Raises CL-1223."""
        return json.loads((self._staged(staged_id) / "report.json").read_text())

    def tidy(self) -> None:
        """Delete what was staged, or half staged, a day ago: its check was killed, or nobody wanted its report."""
        for folder in _entries(self.staging):
            if is_old(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def discard(self, staged_id: str) -> None:
        """Forget a staged dataset."""
        shutil.rmtree(self._staged(staged_id))

    @contextmanager
    def unless_confirmed(self, staged_id: str) -> Iterator[None]:
        """What is staged is forgotten where the block ends by an error or by Ctrl-C."""
        try:
            yield
        except BaseException:
            with suppress(AppError, OSError):
                self.discard(staged_id)
            raise

    def propose(
        self,
        staged_id: str,
        name: str,
        *,
        with_lengths: bool = True,
        with_columns: bool = True,
        with_labels: bool = True,
    ) -> DatasetMetadata:
        """The exact metadata that would leave this machine for a staged dataset. Nothing is sent."""
        if not NAME.fullmatch(name):
            raise AppError("CL-1218")
        self._check_looks(name)
        report = self.staged_report(staged_id)
        if with_columns:
            _check_columns(report["columns"])
        lengths = report["histogram"] if with_lengths else None
        return DatasetMetadata(
            name=name,
            version=self._last_number(name) + 1,
            format=report["form"],
            source=report["source"],
            rows=report["train_rows"] + report["heldout_rows"],
            train_rows=report["train_rows"],
            heldout_rows=report["heldout_rows"],
            columns=report["columns"] if with_columns else [],
            tokenizer=report["tokenizer"] if with_lengths else "",
            token_lengths=Histogram(**lengths) if lengths else None,
            longest_tokens=report["longest"] if with_lengths else None,
            labels=sorted(report.get("labels", {})) if with_labels else [],
            digest=report["digest"],
            created_at=datetime.now(UTC),
        )

    def note(self, metadata: DatasetMetadata) -> str:
        """That a proposed version joins others of its name; empty where the name is new."""
        if metadata.version == 1:
            return ""
        return (
            f"The name {metadata.name} was used on this worker before, so this becomes its version {metadata.version}. "
            "For a dataset of its own, choose another name."
        )

    def _check_looks(self, name: str) -> None:
        """Refuse (CL-1458) a name that nobody can tell from another dataset's, a deleted one's too: the hub has it."""
        found = {path.name for folder in (self.root, self.numbers) for path in _entries(folder)}
        known = sorted(one for one in found if not one.startswith("."))
        other = next((one for one in known if names_alike(name, one)), None)
        if other is not None and name not in known:
            raise AppError("CL-1458", f"This worker already has a dataset named {other}.")

    def confirm(self, staged_id: str, metadata: DatasetMetadata) -> StoredDataset:
        """Make a staged dataset an immutable version under `metadata.name`."""
        target = self.root / metadata.name / f"v{metadata.version}"
        with disk_errors(), file_lock(self.numbers):
            staged = self._staged(staged_id)
            if metadata.version <= self._last_number(metadata.name):  # proposed before another was confirmed
                raise AppError(
                    "CL-1218",
                    f"Version {metadata.version} of '{metadata.name}' was assigned in the meantime.",
                    "Add the dataset again. It gets the next number.",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            (staged / "metadata.json").write_text(metadata.model_dump_json())
            staged.rename(target)
            self._note_number(metadata.name)
        return StoredDataset(target, metadata)

    def versions(self, name: str | None = None) -> list[StoredDataset]:
        """Every version (of one name), oldest first."""
        found = [stored for folder in self._folders(name) if (stored := _read(folder)) is not None]
        return sorted(found, key=lambda stored: (stored.metadata.name, stored.metadata.version))

    def _folders(self, name: str | None = None) -> Iterator[Path]:
        """The folder of each version (of one name); another process may remove them meanwhile."""
        for dataset in self.root.iterdir() if self.root.exists() else ():
            if not dataset.name.startswith(".") and name in (None, dataset.name):
                yield from (folder for folder in _entries(dataset) if _NUMBERED.fullmatch(folder.name))

    def held(self) -> list[DatasetMetadata]:
        """The versions whose rows are here, in a fixed order."""
        return [stored.metadata for stored in self.versions() if stored.has_rows]

    def open(self, digest: str) -> StoredDataset:
        """The version with this digest (what a contract names). Raises CL-1223."""
        for stored in self.versions():
            if stored.metadata.digest == digest and stored.has_rows:
                return stored
        raise AppError("CL-1223")

    def delete(self, name: str, version: int) -> None:
        """Remove a version's rows from this machine."""
        for stored in self.versions(name):
            if stored.metadata.version == version:
                with file_lock(self.numbers):
                    self._note_number(name)
                for part in _PARTS:  # before what says that they are there: whoever ends this halfway sees the version
                    (stored.folder / f"{part}.jsonl").unlink(missing_ok=True)
                shutil.rmtree(stored.folder)
                return
        raise AppError("CL-1223")

    def _last_number(self, name: str) -> int:
        """The highest number of a name, of deleted versions too: the hub keeps their metadata for ever."""
        try:
            noted = int((self.numbers / name).read_text())
        except (OSError, ValueError):  # none yet, or damaged
            noted = 0
        return max([noted, *(int(folder.name[1:]) for folder in self._folders(name))])

    def _note_number(self, name: str) -> None:
        private_folder(self.numbers)
        replace_private(self.numbers / name, str(self._last_number(name)).encode())

    def check_quota(self, size: int, quota: int | None) -> None:
        """Raise CL-1220 where `size` more bytes would exceed what the operator allows."""
        if quota is not None and self.used_bytes() + size > quota:
            raise AppError("CL-1220")

    def used_bytes(self) -> int:
        """What the datasets occupy."""
        return bytes_below(self.root)

    def staged_bytes(self) -> int:
        """What was checked and is not confirmed occupies."""
        return bytes_below(self.staging)

    def _staged(self, staged_id: str) -> Path:
        folder = self.staging / staged_id
        if not staged_id.isalnum() or not (folder / "report.json").exists():
            raise AppError("CL-1223", "This staged dataset no longer exists. Add the file again.")
        return folder


def tidy_uploads(home: Path) -> None:
    """Delete refused uploads and checked files of more than a day ago, whether or not another one is added."""
    UploadStore(home / "uploads").tidy()
    DatasetStore(home).tidy()
