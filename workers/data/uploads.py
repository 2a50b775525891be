"""Resumable uploads: a file arrives in chunks, each with its position and checksum, and survives a reload."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from splitcore.errors import AppError
from workers.data.ingest import disk_errors

CHUNK_BYTES = 8 * 1024 * 1024
_SPARE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Upload:
    """An upload under way."""

    id: str
    name: str
    size: int
    received: int
    owner: str = ""  # the browser that sends it; empty: whoever has the PIN

    @property
    def whole(self) -> bool:
        """Whether every byte has arrived."""
        return self.received == self.size


class UploadStore:
    """Uploads in progress below `root`; each is `<id>.part` with `<id>.json` beside it."""

    def __init__(self, root: Path, *, quota_bytes: int | None = None) -> None:
        self.root, self.quota = root, quota_bytes

    def begin(self, name: str, size: int, *, used_bytes: int = 0, owner: str = "") -> Upload:
        """Start an upload, or find the same owner's of the same name and size. Raises CL-1218, CL-1219, CL-1220."""
        if not re.fullmatch(r"[^/\\\x00]{1,200}", name) or size < 0:
            raise AppError("CL-1218", "The file's name cannot be used.")
        self.root.mkdir(parents=True, exist_ok=True)
        for known in self.all():
            if (known.name, known.size, known.owner) == (name, size, owner):
                return known
        if self.quota is not None and used_bytes + size > self.quota:
            raise AppError("CL-1220")
        # The rows are stored once more in their canonical form, so the file has to fit twice.
        if shutil.disk_usage(self.root).free < 2 * size + _SPARE_BYTES:
            raise AppError("CL-1219")
        upload = Upload(secrets.token_hex(8), name, size, 0, owner)
        with disk_errors():
            self._part(upload.id).touch()
            self._facts(upload.id).write_text(json.dumps({"name": name, "size": size, "owner": owner}))
        return upload

    def get(self, upload_id: str) -> Upload:
        """Where an upload stands. Raises CL-1223."""
        if not re.fullmatch(r"[0-9a-f]{16}", upload_id) or not self._facts(upload_id).exists():
            raise AppError("CL-1223", "This upload is not known; choose the file again.")
        facts = json.loads(self._facts(upload_id).read_text())
        return Upload(
            upload_id, facts["name"], facts["size"], self._part(upload_id).stat().st_size, facts.get("owner", "")
        )

    def append(self, upload_id: str, offset: int, chunk: bytes, sha256: str) -> Upload:
        """Add a chunk at `offset`. A repeated chunk changes nothing; a gap is CL-1221, a damaged one CL-1222."""
        upload = self.get(upload_id)
        if hashlib.sha256(chunk).hexdigest() != sha256:
            raise AppError("CL-1222")
        if offset + len(chunk) <= upload.received:
            return upload
        if offset != upload.received or offset + len(chunk) > upload.size or len(chunk) > CHUNK_BYTES:
            raise AppError("CL-1221", details={"received": upload.received})
        with disk_errors(), self._part(upload_id).open("r+b") as file:
            file.seek(offset)
            try:
                file.write(chunk)
                file.flush()
            except OSError:
                file.truncate(offset)
                raise
        return self.get(upload_id)

    def finished(self, upload_id: str) -> Path:
        """The whole file. Raises CL-1221 while something is missing."""
        upload = self.get(upload_id)
        if upload.received != upload.size:
            raise AppError("CL-1221", details={"received": upload.received})
        return self._part(upload_id)

    def remove(self, upload_id: str) -> None:
        """Forget an upload and its bytes."""
        self.get(upload_id)
        self._part(upload_id).unlink()
        self._facts(upload_id).unlink()

    def all(self) -> list[Upload]:
        """Every upload under way."""
        return [self.get(path.stem) for path in sorted(self.root.glob("*.json"))]

    def to_dict(self, upload: Upload) -> dict[str, object]:
        """JSON form for the page."""
        return {name: value for name, value in asdict(upload).items() if name != "owner"}

    def _part(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.part"

    def _facts(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.json"
