"""Finding text in bytes, however it was written: plain, escaped, base64, hex, UTF-16, as token ids."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy
from tokenizers import Tokenizer

WINDOW = 8  # token ids in a row that count as a find
_KEY = 8  # bytes by which a place is looked up; no needle is shorter
_CHUNK = 1 << 22


class Needles:
    """What must not be found: texts and their token ids, in every form that is known."""

    def __init__(self, tokenizer: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._by_key: dict[int, dict[bytes, str]] = defaultdict(dict)
        self._starts = numpy.zeros(1 << 24, dtype=bool)  # by the first three bytes
        self._longest = 0

    def __len__(self) -> int:
        return sum(len(found) for found in self._by_key.values())

    def add_rows(self, rows: Iterable[dict[str, str]], *, stride: int = 1) -> None:
        """Every text of some rows, and the token ids of text and row."""
        for row in rows:
            for text in row.values():
                self.add_text(text)
            self.add_tokens("".join(row.values()), stride)

    def add_text(self, text: str) -> None:
        """A text in all its forms."""
        for form, needle in forms(text):
            self._add(needle, f"{form} of {text[:40]!r}")

    def add_tokens(self, text: str, stride: int) -> None:
        """Runs of WINDOW token ids of a text, one at each `stride`, as numbers of every width and as JSON."""
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        arrays = {width: numpy.array(ids, dtype=width) for width in ("<i2", "<i4", "<i8")}
        for start in range(0, len(ids) - WINDOW + 1, stride):
            for width, array in arrays.items():
                self._add(array[start : start + WINDOW].tobytes(), f"{width} ids of {text[:40]!r}")
            window = [str(number) for number in ids[start : start + WINDOW]]
            for separator in (", ", ","):
                self._add(separator.join(window).encode(), f"listed ids of {text[:40]!r}")

    def _add(self, needle: bytes, label: str) -> None:
        if len(needle) >= _KEY:
            self._starts[int.from_bytes(needle[:3], "little")] = True
            self._longest = max(self._longest, len(needle))
            self._by_key[int.from_bytes(needle[:_KEY], "little")].setdefault(needle, label)

    def find(self, haystack: bytes) -> set[str]:
        """Which needles are in the bytes."""
        found: set[str] = set()
        for start in range(0, len(haystack), _CHUNK):
            found |= self._find_in(haystack[start : start + _CHUNK + self._longest])
        return found

    def _find_in(self, part: bytes) -> set[str]:
        found: set[str] = set()
        for offset in range(min(_KEY, len(part) - _KEY + 1)):
            values = numpy.frombuffer(part, dtype="<u8", offset=offset, count=(len(part) - offset) // _KEY)
            for index in numpy.flatnonzero(self._starts[values & 0xFFFFFF]):
                near = self._by_key.get(int(values[index]), {})
                place = offset + int(index) * _KEY
                found |= {label for needle, label in near.items() if part.startswith(needle, place)}
        return found

    def find_in_files(self, root: Path) -> dict[str, set[str]]:
        """Files below a folder, and inside archives, in which a needle is; by name."""
        found: dict[str, set[str]] = {}
        for path in sorted(path for path in root.rglob("*") if path.is_file()):
            for name, content in contents(path):
                if hits := self.find(content):
                    found[f"{path.relative_to(root)}{name}"] = hits
        return found


def forms(text: str) -> list[tuple[str, bytes]]:
    """A text as bytes, in the forms in which programs write texts."""
    plain = text.encode()
    found = [
        ("plain text", plain),
        ("JSON", json.dumps(text)[1:-1].encode()),
        ("JSON twice", json.dumps(json.dumps(text))[1:-1].encode()),
        ("hex", plain.hex().encode()),
        ("HEX", plain.hex().upper().encode()),
        ("UTF-16", text.encode("utf-16-le")),
        ("UTF-16 BE", text.encode("utf-16-be")),
    ]
    for shift in range(3):  # base64 looks otherwise at each place in a group of three bytes
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            encoded = encode(b"\0" * shift + plain)
            found.append((name, encoded[4 if shift else 0 : len(encoded) - 4]))
    return found


def contents(path: Path) -> list[tuple[str, bytes]]:
    """The bytes of a file, and of what is inside an archive."""
    content = path.read_bytes()
    parts = [("", content)]
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts += [(f"!{name}", archive.read(name)) for name in archive.namelist()]
    return parts


def joined(parts: Sequence[bytes]) -> bytes:
    """Several pieces as one, apart from each other."""
    return b"\n\0\n".join(parts)
