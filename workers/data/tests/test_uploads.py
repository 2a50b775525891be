"""An upload survives cuts, repeats and damage; a full disk and a used-up quota are named."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from splitcore.errors import AppError
from workers.data.uploads import UploadStore


def sha(chunk: bytes) -> str:
    return hashlib.sha256(chunk).hexdigest()


def test_an_upload_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    first = UploadStore(tmp_path).begin("a.jsonl", len(content))
    UploadStore(tmp_path).append(first.id, 0, content[:1000], sha(content[:1000]))
    store = UploadStore(tmp_path)  # another process, after a reload
    again = store.begin("a.jsonl", len(content))
    assert (again.id, again.received) == (first.id, 1000)
    store.append(again.id, 0, content[:1000], sha(content[:1000]))  # a repeat changes nothing
    store.append(again.id, 1000, content[1000:], sha(content[1000:]))
    assert store.finished(again.id).read_bytes() == content


def test_gaps_damage_and_unfinished_files_are_refused(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    upload = store.begin("a.jsonl", 10)
    for offset, chunk, digest, code in [(5, b"abc", sha(b"abc"), "CL-1221"), (0, b"abc", sha(b"xyz"), "CL-1222")]:
        with pytest.raises(AppError) as caught:
            store.append(upload.id, offset, chunk, digest)
        assert caught.value.code == code
    with pytest.raises(AppError) as caught:
        store.finished(upload.id)
    assert caught.value.code == "CL-1221"
    assert store.get(upload.id).received == 0


def test_names_that_could_leave_the_folder_are_refused(tmp_path: Path) -> None:
    for name in ("../a", "a/b", "a\\b", ""):
        with pytest.raises(AppError) as caught:
            UploadStore(tmp_path).begin(name, 1)
        assert caught.value.code == "CL-1218"
    with pytest.raises(AppError):
        UploadStore(tmp_path).get("../../etc")


def test_a_full_disk_is_said_before_the_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100, 99, 1))
    with pytest.raises(AppError) as caught:
        UploadStore(tmp_path).begin("a.jsonl", 10)
    assert caught.value.code == "CL-1219"


def test_a_disk_that_fills_in_the_middle_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = UploadStore(tmp_path)
    upload = store.begin("a.jsonl", 6)
    store.append(upload.id, 0, b"abc", sha(b"abc"))
    real = Path.open

    def full(self: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if mode == "r+b":
            raise OSError(errno.ENOSPC, "no space")
        return real(self, mode, *args, **kwargs)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(AppError) as caught:
            store.append(upload.id, 3, b"def", sha(b"def"))
    assert caught.value.code == "CL-1219"
    assert store.append(upload.id, 3, b"def", sha(b"def")).received == 6


def test_the_quota_counts_what_is_there_already(tmp_path: Path) -> None:
    with pytest.raises(AppError) as caught:
        UploadStore(tmp_path, quota_bytes=100).begin("a.jsonl", 60, used_bytes=50)
    assert caught.value.code == "CL-1220"
