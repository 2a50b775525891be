"""A hub in one file: its database, its media and its keys, with a manifest of hashes; and a hub out of such a file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import secrets
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from django.conf import settings
from django.utils import timezone

from processes.leftovers import is_old
from processes.private_files import private_folder
from splitcore.errors import AppError
from webapp.backups.databases import NAMES, database_dump, engine
from webapp.core.folder import only_one
from webapp.core.storage_errors import disk_error, is_disk_error

FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK = 1 << 20
_DRAFT = ".backup-partial"
PARTS = ("media", "keys", "secret_key")  # of the hub's folder; logs, mails and queues are not kept


@dataclass(frozen=True)
class Manifest:
    """What a backup holds: `files` is name → SHA-256; `sequence` and `head` are where its audit chain ends.

    `missing` names the files that were removed while the backup was written.
    """

    made_at: str
    version: str
    engine: str
    sequence: int
    head: str
    format: int = FORMAT
    files: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)


def backup_write(out: Path) -> Manifest:
    """Write a backup, whole or not at all, for its owner alone; one at a time. Raises AppError CL-1921, CL-1923."""
    var_dir = Path(settings.VAR_DIR)
    with only_one(var_dir, "backup"):
        if out.exists():
            raise AppError(
                "CL-1921", f"{out} already exists.", "Choose another name. A backup never overwrites a file."
            )
        return _write(out, var_dir)


def _write(out: Path, var_dir: Path) -> Manifest:
    draft = out.with_name(f".{out.name}.{secrets.token_hex(8)}{_DRAFT}")  # in a shared folder nobody has it ready
    shutil.rmtree(var_dir / ".backup", ignore_errors=True)  # of one that was killed
    _drafts_delete(out.parent)
    work = private_folder(var_dir / ".backup")
    try:
        dump = work / NAMES[engine()]
        head = database_dump(dump)  # first: files that a row names are there when the row is
        files: dict[str, str] = {}
        missing: list[str] = []
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as raw, tarfile.open(fileobj=raw, mode="w") as archive:
            for name, path in [(dump.name, dump), *_files(var_dir)]:
                try:
                    files[name] = _add(archive, name, path)
                except FileNotFoundError:
                    missing.append(name)
            now, version = timezone.now().isoformat(), settings.CUTLAYER_VERSION
            manifest = Manifest(now, version, engine(), head.sequence, head.head, files=files, missing=missing)
            _add_bytes(archive, MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
            raw.flush()
            os.fsync(raw.fileno())
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
        shutil.rmtree(work, ignore_errors=True)
    return manifest


def _drafts_delete(folder: Path) -> None:
    """Delete this account's drafts of backups that were killed: each may hold the hub's keys."""
    for path in folder.glob(f".*{_DRAFT}"):
        with contextlib.suppress(OSError):
            if is_old(path) and path.lstat().st_uid == os.getuid():
                path.unlink()


def backup_read(path: Path, folder: Path) -> Manifest:
    """Unpack a backup into an empty folder and check every hash. Raises AppError CL-1904 (a full disk), CL-1922."""
    try:
        with tarfile.open(path, mode="r:") as archive:
            manifest = _manifest(archive)
            members = {member.name: member for member in archive.getmembers() if member.isfile()}
            if members.keys() != {*manifest.files, MANIFEST}:
                raise AppError("CL-1922", f"{path.name} doesn't contain the files named in its manifest.")
            for name, digest in manifest.files.items():
                source = archive.extractfile(members[name])
                if source is None or _unpack(source, folder / _safe(name)) != digest:
                    raise AppError("CL-1922", f"{name} in {path.name} is damaged.")
            _check_fits(path, manifest)
    except FileNotFoundError:
        raise AppError("CL-1922", f"{path} doesn't exist.", "Give the path of a file written by `backup`.") from None
    except (tarfile.TarError, OSError, ValueError, LookupError, TypeError) as error:
        if is_disk_error(error):  # the hub's own, which takes no more: the backup is not to blame
            raise disk_error(error) from None
        raise AppError("CL-1922", f"{path.name} can't be read as a backup ({type(error).__name__}).") from None
    return manifest


def _check_fits(path: Path, manifest: Manifest) -> None:
    """A database of a newer version, or of another kind, is of no use here."""
    if _numbers(manifest.version) > _numbers(settings.CUTLAYER_VERSION):
        raise AppError(
            "CL-1922",
            f"{path.name} has version {manifest.version}, but this is {settings.CUTLAYER_VERSION}, which is older.",
            "Install the backup's version or a newer one. Nothing was changed.",
        )
    if manifest.engine != engine():
        raise AppError("CL-1922", f"{path.name} comes from a hub on {manifest.engine}, but this one is on {engine()}.")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _manifest(archive: tarfile.TarFile) -> Manifest:
    member = archive.extractfile(MANIFEST)
    manifest = Manifest(**json.loads(member.read() if member else b""))
    if manifest.format != FORMAT:
        raise AppError("CL-1922", f"The backup has format {manifest.format}, but this version reads {FORMAT}.")
    return manifest


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or path.parts[0] not in {*PARTS, *NAMES.values()}:
        raise ValueError(name)
    return path


def _files(var_dir: Path) -> Iterator[tuple[str, Path]]:
    for part in PARTS:
        root = var_dir / part
        found = (Path(folder) / name for folder, _, names in os.walk(root) for name in names)
        for path in [root] if root.is_file() else sorted(found):
            if path.is_file() and not path.is_symlink() and not path.name.startswith("."):
                yield path.relative_to(var_dir).as_posix(), path


def _add(archive: tarfile.TarFile, name: str, path: Path) -> str:
    """Add a file as it is now, hashed on its way; one that grows meanwhile is cut at the size that it had."""
    with path.open("rb") as file:
        info = archive.gettarinfo(arcname=name, fileobj=file)
        info.mode, info.uid, info.gid, info.uname, info.gname = 0o600, 0, 0, "", ""
        reader = _Hashing(file)
        archive.addfile(info, reader)  # type: ignore[arg-type]  # it reads and nothing else
    return reader.digest.hexdigest()


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o600
    archive.addfile(info, io.BytesIO(content))


def _unpack(source: IO[bytes], target: Path) -> str:
    private_folder(target.parent)
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


class _Hashing:
    """A file whose content is hashed as it is read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        """As a file's."""
        chunk = self._file.read(size)
        self.digest.update(chunk)
        return chunk
