"""Resumable uploads: a file arrives in chunks, each with its position and checksum, and survives a reload."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from processes.leftovers import is_old
from processes.private_files import replace_private
from splitcore.bounds import LINE, is_plain
from splitcore.errors import AppError
from workers.data.ingest import disk_errors

CHUNK_BYTES = 8 * 1024 * 1024
CHANGED_MAX = 2**53  # milliseconds
_SPARE_BYTES = 64 * 1024 * 1024
_LATER = {"owner": "", "refused": "", "changed": 0}  # facts that older versions did not write


@dataclass(frozen=True)
class Upload:
    """An upload under way."""

    id: str
    name: str
    size: int
    received: int
    owner: str = ""  # the browser that sends it; empty: whoever has the PIN
    refused: str = ""  # the code of what is wrong with the file itself
    changed: int = 0  # when the file was last changed, as its browser tells; 0: not told

    @property
    def whole(self) -> bool:
        """Whether every byte has arrived."""
        return self.received == self.size

    @property
    def owed(self) -> int:
        """Bytes of the disk that it has still to take: what is missing, and the rows in their canonical form."""
        return 0 if self.refused else 2 * self.size - self.received


def _unknown() -> AppError:
    return AppError("CL-1223", "This upload is unknown. Choose the file again.")


class UploadStore:
    """Uploads in progress below `root`; each is `<id>.part` with `<id>.json` beside it."""

    def __init__(self, root: Path, *, quota_bytes: int | None = None) -> None:
        self.root, self.quota = root, quota_bytes

    def begin(self, name: str, size: int, *, changed: int = 0, used_bytes: int = 0, owner: str = "") -> Upload:
        """Start an upload, or find the same owner's of the same file; what was refused makes room.

        A file is the same where name, size and the time of its last change are: without that time it never is.
        Raises CL-1218, CL-1219, CL-1220.
        """
        if not re.fullmatch(r"[^/\\]{1,200}", name) or not re.fullmatch(LINE, name) or not is_plain(name):
            raise AppError("CL-1218", "The file's name can't be used.")
        if size < 0 or not 0 <= changed <= CHANGED_MAX:
            raise AppError("CL-1218", "The file's size or its time can't be used.")
        self.root.mkdir(parents=True, exist_ok=True)
        self.tidy()
        for known in self.all():
            if known.refused and known.owner == owner:  # corrected it may have the same name and size
                self._forget(known.id)
        for known in self.all():
            if changed and (known.name, known.size, known.changed, known.owner) == (name, size, changed, owner):
                return known
        return self._begun(Upload(secrets.token_hex(8), name, size, 0, owner, "", changed), used_bytes)

    def _begun(self, upload: Upload, used_bytes: int) -> Upload:
        if self.quota is not None and used_bytes + upload.size > self.quota:
            raise AppError("CL-1220")
        others = sum(known.owed for known in self.all())  # what has begun will be taken too
        free = shutil.disk_usage(self.root).free - upload.owed - _SPARE_BYTES
        if free < 0:
            raise AppError("CL-1219")
        if free < others:
            raise AppError(
                "CL-1219",
                "The remaining free disk space is reserved for uploads in progress.",
                "Discard one of them (with the PIN, all are listed) or free some space. Then choose again.",
            )
        with disk_errors():
            self._part(upload.id).touch()
            self._write(upload)
        return upload

    def get(self, upload_id: str) -> Upload:
        """Where an upload stands. Raises CL-1223."""
        if not re.fullmatch(r"[0-9a-f]{16}", upload_id):
            raise _unknown()
        try:
            facts = json.loads(self._facts(upload_id).read_text())
            known = {name: facts.get(name, default) for name, default in _LATER.items()}
            return Upload(
                upload_id, str(facts["name"]), int(facts["size"]), self._part(upload_id).stat().st_size, **known
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):  # gone, or damaged
            raise _unknown() from None

    def tidy(self) -> None:
        """Delete what was refused a day ago, and what a killed process left then. Others a person may come back to."""
        for upload in self.all():
            if upload.refused and is_old(self._facts(upload.id)):
                self._forget(upload.id)
        whole = {upload.id for upload in self.all()}
        for path in self.root.iterdir() if self.root.exists() else ():
            if path.is_file() and path.name.partition(".")[0] not in whole and is_old(path):
                path.unlink(missing_ok=True)

    def refuse(self, upload_id: str, code: str) -> None:
        """Note that the file cannot become a dataset as it is. Raises CL-1223."""
        self._write(replace(self.get(upload_id), refused=code))
        if not self._part(upload_id).exists():  # discarded meanwhile
            self._facts(upload_id).unlink(missing_ok=True)

    def clear(self, upload_id: str) -> None:
        """Take a refusal back: the file has passed. Raises CL-1223."""
        if self.get(upload_id).refused:
            self.refuse(upload_id, "")

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
        self._forget(upload_id)

    def _forget(self, upload_id: str) -> None:
        self._part(upload_id).unlink(missing_ok=True)
        self._facts(upload_id).unlink(missing_ok=True)

    def all(self) -> list[Upload]:
        """Every upload under way; another thread may remove one meanwhile."""
        found = []
        for path in sorted(self.root.glob("*.json")):
            with suppress(AppError):
                found.append(self.get(path.stem))
        return found

    def to_dict(self, upload: Upload) -> dict[str, object]:
        """JSON form for the page."""
        return {name: value for name, value in asdict(upload).items() if name not in ("owner", "changed")}

    def _write(self, upload: Upload) -> None:
        """In one step: the page reads them all the time."""
        facts = {name: value for name, value in asdict(upload).items() if name not in ("id", "received")}
        replace_private(self._facts(upload.id), json.dumps(facts).encode())

    def _part(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.part"

    def _facts(self, upload_id: str) -> Path:
        return self.root / f"{upload_id}.json"
