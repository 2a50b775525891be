"""An upload survives cuts, repeats and damage; a full disk and a used-up quota are named."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from splitcore.errors import AppError
from workers.data.store import tidy_uploads
from workers.data.uploads import UploadStore


def sha(chunk: bytes) -> str:
    return hashlib.sha256(chunk).hexdigest()


def test_an_upload_goes_on_where_it_was_cut(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10
    first = UploadStore(tmp_path).begin("a.jsonl", len(content), changed=5)
    UploadStore(tmp_path).append(first.id, 0, content[:1000], sha(content[:1000]))
    store = UploadStore(tmp_path)  # another process, after a reload
    again = store.begin("a.jsonl", len(content), changed=5)
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


def test_whoever_reads_an_upload_s_facts_meanwhile_reads_them_whole(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    upload = store.begin("a.jsonl", 10, owner="ada")
    with (tmp_path / f"{upload.id}.json").open() as reader:
        store.refuse(upload.id, "CL-1229")
        assert json.loads(reader.read())["refused"] == "", "the old file is as it was: another one took its place"
    assert store.get(upload.id) == dataclasses.replace(upload, refused="CL-1229")
    store.clear(upload.id)
    assert store.get(upload.id) == upload


def test_an_upload_that_is_discarded_meanwhile_is_not_known_and_comes_back_by_no_refusal(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    upload = store.begin("a.jsonl", 10)
    (tmp_path / f"{upload.id}.part").unlink()
    assert store.all() == []
    with pytest.raises(AppError) as caught:
        store.refuse(upload.id, "CL-1229")
    assert caught.value.code == "CL-1223"


def test_a_file_that_was_changed_is_not_taken_for_the_one_of_its_name_and_size(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    first = store.begin("a.jsonl", 4, changed=1_000)
    store.append(first.id, 0, b"old\n", sha(b"old\n"))
    second = store.begin("a.jsonl", 4, changed=2_000)
    assert (second.id == first.id, second.received) == (False, 0)
    assert store.begin("a.jsonl", 4, changed=1_000).id == first.id
    assert len({store.begin("a.jsonl", 4).id for _ in range(2)} | {first.id, second.id}) == 4, "its time is not told"


@pytest.mark.parametrize("name", ["\ud800.jsonl", "a\n.jsonl", "a\x9f.jsonl"])
def test_a_name_that_no_page_can_show_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AppError) as caught:
        UploadStore(tmp_path).begin(name, 1)
    assert caught.value.code == "CL-1218"


def test_names_as_every_system_writes_them_are_taken(tmp_path: Path) -> None:
    for name in ("two  spaces.csv", "a\u0308 decomposed.csv", "données.csv", "資料.jsonl"):
        assert UploadStore(tmp_path).begin(name, 1).name == name


def test_a_damaged_note_of_an_upload_hides_no_other(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    whole = store.begin("a.jsonl", 1)
    for number, text in enumerate(('{"name":', "[]", "{}", '{"name": "b", "size": null}', "\x00")):
        damaged = tmp_path / f"{number:016x}.json"
        damaged.write_text(text)
        damaged.with_suffix(".part").touch()
    assert [upload.id for upload in store.all()] == [whole.id]
    assert store.begin("c.jsonl", 1).received == 0


def test_what_other_uploads_have_begun_is_no_room_for_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 0, 10 << 30))
    store = UploadStore(tmp_path)
    first = store.begin("a.jsonl", 4 << 30)
    with pytest.raises(AppError) as caught:
        store.begin("b.jsonl", 4 << 30)
    assert caught.value.code == "CL-1219"
    assert "reserved" in caught.value.message
    store.refuse(first.id, "CL-1210")
    assert store.begin("b.jsonl", 4 << 30, owner="another browser").received == 0, "a refused file takes no more"


def test_what_a_killed_process_left_goes_a_day_later(tmp_path: Path) -> None:
    store = UploadStore(tmp_path)
    known = store.begin("a.jsonl", 4)
    left = [tmp_path / f"{'a' * 16}.part", tmp_path / f".{known.id}.json.12ab.partial", tmp_path / f"{'b' * 16}.json"]
    for path in (*left, tmp_path / f"{'c' * 16}.part"):
        path.write_bytes(b"rows")
    for path in (*left, tmp_path / f"{known.id}.part", tmp_path / f"{known.id}.json"):
        os.utime(path, (1, 1))
    store.begin("b.jsonl", 4)
    assert not any(path.exists() for path in left)
    assert (tmp_path / f"{'c' * 16}.part").exists(), "it may just have been begun"
    assert store.get(known.id).name == "a.jsonl", "a person may come back to it"


def test_uploads_that_were_refused_a_day_ago_go_and_others_stay(tmp_path: Path) -> None:
    store = UploadStore(tmp_path / "uploads")
    refused, half, young = (store.begin(name, 4, owner=name) for name in ("refused", "half", "young"))
    for bad in (refused, young):
        store.refuse(bad.id, "CL-1210")
    for old in (refused, half):
        for path in store.root.glob(f"{old.id}.*"):
            os.utime(path, (1.0, 1.0))
    tidy_uploads(tmp_path)
    assert {one.id for one in store.all()} == {half.id, young.id}
    assert {path.stem for path in store.root.iterdir()} == {half.id, young.id}
    tidy_uploads(tmp_path / "nothing yet")
