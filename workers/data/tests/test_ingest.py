"""Files of every kind, good and bad, become a dataset or a clear code."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from splitcore.errors import AppError
from workers.data import readers
from workers.data.store import DatasetStore


def write_jsonl(path: Path, rows: list[object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def pairs(count: int) -> list[dict[str, str]]:
    return [{"prompt": f"question {i}", "completion": f"answer {i}"} for i in range(count)]


@pytest.fixture
def store(tmp_path: Path) -> DatasetStore:
    return DatasetStore(tmp_path / "home")


def refused(store: DatasetStore, path: Path, **options: object) -> AppError:
    with pytest.raises(AppError) as caught:
        store.stage(path, **options)
    assert not list(store.staging.glob("*")), "a refused file leaves nothing behind"
    return caught.value


def test_jsonl_csv_and_parquet_give_the_same_rows(store: DatasetStore, tmp_path: Path) -> None:
    rows = pairs(40)
    csv_path = tmp_path / "a.csv"
    csv_path.write_text("prompt,completion\n" + "".join(f'"{r["prompt"]}","{r["completion"]}"\n' for r in rows))
    parquet_path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(rows), parquet_path)
    reports = [store.stage(p) for p in (write_jsonl(tmp_path / "a.jsonl", rows), csv_path, parquet_path)]
    assert {r.digest for r in reports} == {reports[0].digest}
    assert {(r.train_rows, r.heldout_rows) for r in reports} == {(reports[0].train_rows, reports[0].heldout_rows)}
    assert reports[0].train_rows + reports[0].heldout_rows == 40


def test_a_version_holds_the_rows_and_its_metadata_holds_none(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(50)))
    metadata = store.propose(report.staged_id, "notes")
    stored = store.confirm(report.staged_id, metadata)
    rows = [*stored.train_rows(), *stored.heldout_rows()]
    assert sorted(r["prompt"] for r in rows) == sorted(r["prompt"] for r in pairs(50))
    assert "question" not in metadata.model_dump_json()
    assert store.open(metadata.digest).metadata == metadata
    again = store.stage(tmp_path / "a.jsonl")
    assert store.propose(again.staged_id, "notes").version == 2


def test_the_held_out_part_is_the_same_each_time_and_can_be_a_file(store: DatasetStore, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", pairs(200))
    first, second = store.stage(path, eval_fraction=0.2), store.stage(path, eval_fraction=0.2)
    assert first.digest == second.digest
    assert 20 <= first.heldout_rows <= 60
    extra = write_jsonl(tmp_path / "h.jsonl", [{"prompt": "x", "completion": "y"}])
    both = store.stage(path, heldout=extra)
    assert (both.train_rows, both.heldout_rows) == (200, 1)


def test_bad_rows_are_reported_with_their_line_and_code(store: DatasetStore, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = json.dumps({"prompt": "a", "completion": "b"}).encode()
    path.write_bytes(
        b"\n".join(
            [
                good,
                b"{not json",
                b'{"prompt": "a\xff", "completion": "b"}',
                b'{"prompt": "a", "completion": " "}',
                good,
                b'{"prompt": "half a pair: \\ud83d", "completion": "b"}',
            ]
        )
    )
    report = store.stage(path)
    found = [(problem.line, problem.code) for problem in report.problems]
    assert found == [(2, "CL-1213"), (3, "CL-1211"), (4, "CL-1214"), (6, "CL-1211")]
    assert (report.bad_rows, report.duplicates) == (4, 1)


def test_an_endless_line_is_skipped_in_flat_memory(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_ROW_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    row = json.dumps({"prompt": "a", "completion": "b"})
    path.write_text(row + "\n" + "x" * 50_000 + "\n" + row + "\n")
    report = store.stage(path)
    assert [(p.line, p.code) for p in report.problems] == [(2, "CL-1212")]
    assert report.train_rows + report.heldout_rows == 2


def test_messages_and_text_are_recognised(store: DatasetStore, tmp_path: Path) -> None:
    talk = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}]
    assert store.stage(write_jsonl(tmp_path / "m.jsonl", talk)).form == "messages"
    assert store.stage(write_jsonl(tmp_path / "t.jsonl", [{"text": "once"}])).form == "text"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_csv_file_is_read_as_excel_writes_it(store: DatasetStore, tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt;completion\nÄrzte;Befund 1\nØre;Befund 2\n", encoding=encoding)
    staged = store.stage(path, eval_fraction=0)
    stored = store.confirm(staged.staged_id, store.propose(staged.staged_id, "Letters"))
    assert [row["prompt"] for row in stored.train_rows()] == ["Ärzte", "Øre"]


def test_unknown_columns_ask_for_a_mapping_and_then_take_it(store: DatasetStore, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"befund": "a", "brief": "b"}] * 3)
    assert refused(store, path).code == "CL-1215"
    assert store.stage(path, mapping={"prompt": "befund", "completion": "brief"}).form == "prompt_completion"


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.pdf", b"%PDF-1.7", "CL-1210"),
        ("a.jsonl", b"PAR1....", "CL-1210"),
        ("a.parquet", b"PAR1 but broken", "CL-1224"),
        ("a.csv", b"prompt,prompt\na,b\n", "CL-1224"),
        ("a.jsonl", b"\n\n", "CL-1216"),
        ("a.jsonl", '{"prompt": "a", "completion": "b"}\n'.encode("utf-16"), "CL-1211"),
        ("a.csv", "prompt,completion\na,b\n".encode("utf-16-le"), "CL-1211"),
        ("a.csv", b"\xff\xfe" + b"p\x00,\x00q\x00\n\x00\x00\xd8x", "CL-1211"),
        ("a.csv", b"a,b\x00\n", "CL-1210"),
        ("a.jsonl", b'{"prompt": "a", "completion": ""}\n', "CL-1216"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(
    store: DatasetStore, tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(store, path).code == code


def test_a_held_out_file_with_other_columns_is_refused(store: DatasetStore, tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", pairs(3))
    other = write_jsonl(tmp_path / "b.jsonl", [{"text": "x"}])
    assert refused(store, path, heldout=other).code == "CL-1217"


def test_a_name_that_could_leave_the_folder_is_refused(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(3)))
    for name in ("../x", "/etc/x", "a\\b", "", "x" * 81, ".hidden"):
        with pytest.raises(AppError) as caught:
            store.propose(report.staged_id, name)
        assert caught.value.code == "CL-1218"


def test_a_deleted_version_is_gone_and_unknown_ones_say_so(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(3)))
    metadata = store.propose(report.staged_id, "notes")
    store.confirm(report.staged_id, metadata)
    store.delete("notes", 1)
    with pytest.raises(AppError) as caught:
        store.open(metadata.digest)
    assert caught.value.code == "CL-1223"
