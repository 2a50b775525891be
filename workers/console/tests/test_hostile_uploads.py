"""Promise 37: each named kind of hostile file is refused with its code; nothing is written outside, nothing lost."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from workers.console.tests.conftest import RunningConsole, Visitor, running_console
from workers.console.tests.test_console import ROWS, check, upload

QUOTA = 3_000_000


def zipped(**options: object) -> bytes:
    """An archive of one good file of rows under a hostile name, or what the options say."""
    names = options.get("names", ["rows.jsonl"])
    content = options.get("content", ROWS.encode())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:  # type: ignore[attr-defined]
            entry = zipfile.ZipInfo(name)
            if options.get("link"):
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            file.writestr(entry, content, zipfile.ZIP_DEFLATED)  # type: ignore[arg-type]
    return archive.getvalue()


def tar_with_link() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        entry = tarfile.TarInfo("rows.jsonl")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        file.addfile(entry)
    return archive.getvalue()


def table(rows: list[dict[str, str]], **options: object) -> bytes:
    """A Parquet file."""
    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), file, **options)
    return file.getvalue()


def packed_bomb() -> bytes:
    """A table that compression makes two thousand times smaller."""
    rows = [{"prompt": "a" * 1_000_000, "completion": "b"} for _ in range(8)]
    return table(rows, compression="zstd", use_dictionary=False)


def repeated_bomb() -> bytes:
    """A table of one long text that many rows point to: small even unpacked, large as rows."""
    return table([{"prompt": "a" * 100_000, "completion": "b"}] * 200, compression="none", use_dictionary=True)


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip-slip": ("rows.zip", lambda: zipped(names=["../../../evil.jsonl"]), "CL-1210"),
    "zip-slip under a good name": ("rows.jsonl", lambda: zipped(names=["../../../evil.jsonl"]), "CL-1210"),
    "a name that climbs": ("../../evil.jsonl", ROWS.encode, "CL-1218"),
    "absolute": ("rows.zip", lambda: zipped(names=["/tmp/evil.jsonl"]), "CL-1210"),
    "an absolute name": ("/tmp/evil.jsonl", ROWS.encode, "CL-1218"),
    "backslashes": ("rows.zip", lambda: zipped(names=["..\\..\\evil.jsonl"]), "CL-1210"),
    "a name with backslashes": ("..\\..\\evil.jsonl", ROWS.encode, "CL-1218"),
    "symlink in a zip": ("rows.zip", lambda: zipped(content=b"/etc/passwd", link=True), "CL-1210"),
    "symlink in a tar": ("rows.tar.gz", tar_with_link, "CL-1210"),
    "nested": ("rows.zip", lambda: zipped(names=["inner.zip"], content=zipped()), "CL-1210"),
    "ratio of an archive": ("rows.zip", lambda: zipped(content=bytes(10_000_000)), "CL-1210"),
    "ratio of a table": ("rows.parquet", packed_bomb, "CL-1225"),
    "10k entries": ("rows.zip", lambda: zipped(names=[f"{n}.jsonl" for n in range(10_000)], content=b"{}"), "CL-1210"),
    "wrong type": ("rows.exe", ROWS.encode, "CL-1210"),
    "wrong content": ("rows.parquet", lambda: b"\x80\x04]\x94.", "CL-1210"),
    "beyond the quota": ("rows.jsonl", lambda: bytes(QUOTA), "CL-1220"),
    "beyond the quota once unpacked": ("rows.parquet", repeated_bomb, "CL-1220"),
    "CSV formula": ("rows.csv", lambda: b"prompt,completion,=HYPERLINK(1)\na,b,c\n", "CL-1226"),
}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningConsole]:
    """A console that has a dataset already."""
    folder = tmp_path_factory.mktemp("hostile")
    with running_console(folder, CUTLAYER_DATASET_QUOTA_BYTES=str(QUOTA)) as running:
        visitor = unlocked(running)
        job = check(visitor, upload(visitor, "first.jsonl", ROWS.encode(), step=100_000))
        visitor.send("POST", f"/staged/{job['staged_id']}/confirm", data={"name": "first"})
        yield running


def unlocked(console: RunningConsole) -> Visitor:
    visitor = console.browser()
    visitor.unlock(console.pin)
    return visitor


def everything_but_uploads(console: RunningConsole) -> dict[str, str]:
    """Path → checksum of each file below the folder that the console's own stands in, but those under way."""
    root = console.home.root.parent
    moving = (console.home.root / "uploads", root / "console.log")
    return {
        str(path): sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_relative_to(moving[0]) and path != moving[1] and "sqlite" not in path.name
    }


def refusal_of(visitor: Visitor, name: str, content: bytes) -> str:
    """The code with which the console turns the file away, at whichever step."""
    begun = visitor.send("POST", "/uploads", json={"name": name, "size": len(content), "changed": 7})
    if begun.status_code != 200:
        return str(begun.json()["code"])
    upload_id = upload(visitor, name, content, step=1 << 22)
    shown = visitor.http.get(f"/uploads/{upload_id}/columns", headers={"Accept": "application/json"})
    error = shown.json() if shown.status_code != 200 else check(visitor, upload_id)["error"]
    visitor.send("DELETE", f"/uploads/{upload_id}")
    return str(error["code"])


@pytest.mark.promise(37, figure="18 kinds, all refused")
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_refused_with_its_code_and_leaves_no_trace(console: RunningConsole, case: str) -> None:
    name, content, code = HOSTILE[case]
    before = everything_but_uploads(console)
    assert any("first" in path for path in before)
    assert refusal_of(unlocked(console), name, content()) == code
    assert everything_but_uploads(console) == before
    assert list((console.home.root / "uploads").iterdir()) == []
    assert not list(Path("/tmp").glob("evil.jsonl"))


def test_a_cell_that_looks_like_a_formula_stays_a_text_of_its_owner(console: RunningConsole) -> None:
    visitor = unlocked(console)
    content = b"prompt,completion\n=cmd|'/C calc'!A0,+1\n"
    job = check(visitor, upload(visitor, "cells.csv", content))
    visitor.send("POST", f"/staged/{job['staged_id']}/confirm", data={"name": "cells", "with_columns": "on"})
    shown = visitor.http.get("/datasets/cells/1")
    assert "=cmd|" in shown.text
    assert shown.headers["content-type"].startswith("text/html")
    assert shown.headers["x-content-type-options"] == "nosniff"
