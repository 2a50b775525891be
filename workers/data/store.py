"""The versions on disk, and the rows for a job. Layout: datasets/<name>/v<N>/{train,heldout}.jsonl, metadata.json."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from processes.private_files import born
from splitcore.errors import AppError
from workers.contracts import DatasetMetadata, Histogram
from workers.data.ingest import NAME, Report, disk_errors, stage


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


class DatasetStore:
    """All datasets of one worker."""

    def __init__(self, home: Path) -> None:
        self.root = home / "datasets"
        self.staging = self.root / ".staging"
        self.key_file = home / "keys" / "datasets.key"

    @property
    def key(self) -> bytes:
        """The site's own key for digests, born here on first use."""
        return born(self.key_file, lambda: secrets.token_bytes(32))

    def stage(self, path: Path, *, quota: int | None = None, **options: Any) -> Report:
        """Check a file; see `workers.data.ingest.stage`. `quota` bounds what all datasets take together."""
        left = None if quota is None else max(0, quota - self.used_bytes())
        return stage(self.staging, path, key=self.key, quota_bytes=left, **options)

    def staged_report(self, staged_id: str) -> dict[str, Any]:
        """The report of a staged dataset. Raises CL-1223."""
        return json.loads((self._staged(staged_id) / "report.json").read_text())

    def discard(self, staged_id: str) -> None:
        """Forget a staged dataset."""
        shutil.rmtree(self._staged(staged_id))

    def propose(
        self, staged_id: str, name: str, *, with_lengths: bool = True, with_columns: bool = True
    ) -> DatasetMetadata:
        """The exact metadata that would leave this machine for a staged dataset. Nothing is sent."""
        if not NAME.fullmatch(name):
            raise AppError("CL-1218")
        report = self.staged_report(staged_id)
        lengths = report["histogram"] if with_lengths else None
        return DatasetMetadata(
            name=name,
            version=max((s.metadata.version for s in self.versions(name)), default=0) + 1,
            format=report["form"],
            source=report["source"],
            rows=report["train_rows"] + report["heldout_rows"],
            train_rows=report["train_rows"],
            heldout_rows=report["heldout_rows"],
            columns=report["columns"] if with_columns else [],
            tokenizer=report["tokenizer"] if with_lengths else "",
            token_lengths=Histogram(**lengths) if lengths else None,
            longest_tokens=report["longest"] if with_lengths else None,
            digest=report["digest"],
            created_at=datetime.now(UTC),
        )

    def confirm(self, staged_id: str, metadata: DatasetMetadata) -> StoredDataset:
        """Make a staged dataset an immutable version under `metadata.name`."""
        staged = self._staged(staged_id)
        target = self.root / metadata.name / f"v{metadata.version}"
        with disk_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            (staged / "metadata.json").write_text(metadata.model_dump_json())
            if target.exists():
                raise AppError("CL-1218", f"Version {metadata.version} of '{metadata.name}' exists already.")
            staged.rename(target)
        return StoredDataset(target, metadata)

    def versions(self, name: str | None = None) -> list[StoredDataset]:
        """Every version (of one name), oldest first."""
        found = []
        for path in self.root.glob("*/v*/metadata.json"):
            if path.parts[-3].startswith(".") or (name is not None and path.parts[-3] != name):
                continue
            found.append(StoredDataset(path.parent, DatasetMetadata.model_validate_json(path.read_text())))
        return sorted(found, key=lambda stored: (stored.metadata.name, stored.metadata.version))

    def open(self, digest: str) -> StoredDataset:
        """The version with this digest (what a contract names). Raises CL-1223."""
        for stored in self.versions():
            if stored.metadata.digest == digest:
                return stored
        raise AppError("CL-1223")

    def delete(self, name: str, version: int) -> None:
        """Remove a version's rows from this machine."""
        for stored in self.versions(name):
            if stored.metadata.version == version:
                shutil.rmtree(stored.folder)
                return
        raise AppError("CL-1223")

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
            raise AppError("CL-1223", "This staged dataset is gone; add the file again.")
        return folder
