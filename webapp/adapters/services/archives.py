"""Zip files that come out the same, byte for byte, whenever they are made of the same content."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

_EPOCH = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20


def write_zip(target: Path, entries: Mapping[str, bytes | Path]) -> tuple[str, int]:
    """Write entries in name order with fixed times and rights. Returns the SHA-256 and size of the file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(entries):
            info = zipfile.ZipInfo(name, _EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = 3
            content = entries[name]
            if isinstance(content, Path):
                info.file_size = content.stat().st_size
                with archive.open(info, "w") as out, content.open("rb") as source:
                    while chunk := source.read(_CHUNK):
                        out.write(chunk)
            else:
                archive.writestr(info, content)
    partial.replace(target)
    return file_sha256(target), target.stat().st_size


def file_sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksums(entries: Mapping[str, bytes | Path]) -> bytes:
    """The lines of a SHA256SUMS file, as `sha256sum --check` reads them."""
    lines = []
    for name in sorted(entries):
        content = entries[name]
        digest = file_sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()
        lines.append(f"{digest}  {name}\n")
    return "".join(lines).encode()
