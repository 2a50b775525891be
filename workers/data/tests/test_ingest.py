"""Files of every kind, good and bad, become a dataset or a clear code."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from processes.children import start_child
from splitcore.errors import AppError
from workers.data import readers
from workers.data.labels import counted
from workers.data.store import DatasetStore
from workers.tests.support import wait_for


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


@pytest.mark.parametrize(
    "text",
    [
        "value;prompt;completion\n38,5;fever, cough;flu, mild\n37,1;cough, cold;cold, mild\n",
        "sep=;\nvalue;prompt;completion\n38,5;fever, cough;flu, mild\n37,1;cough, cold;cold, mild\n",
        'value,prompt,completion\n"38,5","fever, cough","flu, mild"\n"37,1","cough, cold","cold, mild"\n',
        'value, prompt, completion\n"38,5", "fever, cough", "flu, mild"\n"37,1", "cough, cold", "cold, mild"\n',
        "value\tprompt\tcompletion\n38,5\tfever, cough\tflu, mild\n37,1\tcough, cold\tcold, mild\n",
    ],
    ids=["semicolon", "sep-line", "quotes", "spaces", "tab"],
)
def test_a_decimal_comma_does_not_shift_the_columns(store: DatasetStore, tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(text)
    staged = store.stage(path, eval_fraction=0)
    assert staged.bad_rows == 0
    stored = store.confirm(staged.staged_id, store.propose(staged.staged_id, "Notes"))
    assert [(row["prompt"], row["completion"]) for row in stored.train_rows()] == [
        ("fever, cough", "flu, mild"),
        ("cough, cold", "cold, mild"),
    ]


def test_a_doubled_quote_far_down_a_table_is_read(store: DatasetStore, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion\n" + '"a, b","c"\n' * 2000 + '"say ""yes"", please","yes"\n')
    assert store.stage(path).bad_rows == 0


def test_a_table_of_one_column_is_read(store: DatasetStore, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text\none note\nanother one\n")
    assert store.stage(path).form == "text"


def test_a_refused_table_names_what_is_wrong_with_its_rows_and_what_helps(store: DatasetStore, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,completion,value\nfever,flu,38,5\ncough,cold,37,1\n")
    error = refused(store, path)
    assert "CL-1230" in error.message
    assert "line 2" in error.message
    assert "semicolons" in error.remedy


def test_rows_without_a_completion_are_told_from_rows_without_text(store: DatasetStore, tmp_path: Path) -> None:
    rows: list[object] = [{"prompt": "a"}, {"prompt": "a", "completion": None}, {"prompt": "a", "completion": ""}]
    rows += [{"completion": "b"}, {"prompt": "a", "completion": 7}, {"prompt": "a", "completion": "b"}]
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", rows))
    assert [(problem.line, problem.code) for problem in report.problems] == [
        (1, "CL-1214"),
        (2, "CL-1214"),
        (3, "CL-1214"),
        (4, "CL-1201"),
        (5, "CL-1201"),
    ]
    assert report.train_rows == 1


def test_columns_that_the_hub_has_no_room_for_are_refused_until_they_are_left_out(
    store: DatasetStore, tmp_path: Path
) -> None:
    wide = {"prompt": "a", "completion": "b"} | {f"column {number}": "" for number in range(80)}
    staged = store.stage(write_jsonl(tmp_path / "a.jsonl", [wide]))
    with pytest.raises(AppError) as caught:
        store.propose(staged.staged_id, "notes")
    assert caught.value.code == "CL-1231"
    assert store.propose(staged.staged_id, "notes", with_columns=False).columns == []


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
        ("a.jsonl", b"", "CL-1229"),
        ("a.jsonl", b"\n\n", "CL-1229"),
        ("a.csv", b"", "CL-1229"),
        ("a.csv", b"\n \n", "CL-1229"),
        ("a.csv", b"prompt,completion\n", "CL-1229"),
        ("a.json", b'[{"prompt": "a", "completion": "b"}]', "CL-1210"),
        ("a.csv", b"prompt,completion,value\nfever,flu,38,5\n", "CL-1216"),
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


@pytest.mark.parametrize("damaged", [b"", bytes(32), bytes(range(31))], ids=["empty", "zeros", "short"])
def test_rows_get_no_digest_under_a_key_that_is_not_what_was_written(
    store: DatasetStore, tmp_path: Path, damaged: bytes
) -> None:
    assert len(store.key) == 32
    store.key_file.write_bytes(damaged)
    assert refused(store, write_jsonl(tmp_path / "notes.jsonl", pairs(4))).code == "CL-1232"


def test_a_deleted_version_is_gone_and_unknown_ones_say_so(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(3)))
    metadata = store.propose(report.staged_id, "notes")
    store.confirm(report.staged_id, metadata)
    assert [one.digest for one in store.held()] == [metadata.digest]
    store.delete("notes", 1)
    assert store.held() == []
    with pytest.raises(AppError) as caught:
        store.open(metadata.digest)
    assert caught.value.code == "CL-1223"


def test_no_number_is_given_twice_under_one_name(store: DatasetStore, tmp_path: Path) -> None:
    def add(count: int) -> int:
        report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(count)))
        return store.confirm(report.staged_id, store.propose(report.staged_id, "notes")).metadata.version

    assert (add(3), add(4)) == (1, 2)
    store.delete("notes", 2)
    assert add(5) == 3, "the hub has the metadata of the second for ever"
    shutil.rmtree(store.root / "notes")  # by hand
    assert add(6) == 4
    shutil.rmtree(store.numbers)  # as an earlier release left it
    store.delete("notes", 4)
    assert add(7) == 5


def test_a_name_that_nobody_can_tell_from_another_dataset_s_is_refused(store: DatasetStore, tmp_path: Path) -> None:
    def proposed(name: str) -> None:
        staged = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(3))).staged_id
        store.confirm(staged, store.propose(staged, name))

    proposed("letters")
    proposed("letters")
    for deleted in (False, True):
        with pytest.raises(AppError) as caught:
            proposed("Ietters")
        assert caught.value.code == "CL-1458"
        assert "letters" in caught.value.message
        if not deleted:
            store.delete("letters", 1)
            store.delete("letters", 2)
    proposed("numbers")


def test_a_number_that_was_proposed_twice_is_given_once(store: DatasetStore, tmp_path: Path) -> None:
    """A person reads what would leave at a terminal, while another dataset of the name is confirmed in the browser."""
    slow, fast = (store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(count))).staged_id for count in (3, 4))
    shown = store.propose(slow, "notes")
    store.confirm(fast, store.propose(fast, "notes"))
    store.delete("notes", 1)
    with pytest.raises(AppError) as caught:
        store.confirm(slow, shown)
    assert caught.value.code == "CL-1218"
    assert store.confirm(slow, store.propose(slow, "notes")).metadata.version == 2


def test_a_deletion_that_was_cut_off_leaves_no_row_that_nobody_sees(
    store: DatasetStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(30)))
    stored = store.confirm(report.staged_id, store.propose(report.staged_id, "notes"))

    def cut_off(folder: Path) -> None:
        (folder / "metadata.json").unlink()  # what is removed first is the file system's choice
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", cut_off)
    with pytest.raises(KeyboardInterrupt):
        store.delete("notes", 1)
    assert not [path for path in stored.folder.iterdir() if "question" in path.read_text()]


def test_what_a_killed_check_left_goes_a_day_later(store: DatasetStore, tmp_path: Path) -> None:
    file = write_jsonl(tmp_path / "a.jsonl", pairs(300_000))
    code = "import sys; from pathlib import Path; from workers.data.checking import stage_checked;"
    code += (
        "from workers.data.store import DatasetStore; stage_checked(DatasetStore(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    process = start_child([sys.executable, "-c", code, store.root.parent, file])
    wait_for(lambda: any(store.staging.glob("*/train.jsonl")), what="the check's first rows", seconds=30)
    process.kill()
    process.wait()
    [left] = store.staging.iterdir()
    store.stage(write_jsonl(tmp_path / "b.jsonl", pairs(3)))
    assert left.exists(), "for all that this process knows it is being written"
    os.utime(left, (1, 1))
    staged = store.stage(write_jsonl(tmp_path / "b.jsonl", pairs(4))).staged_id
    assert not left.exists()
    assert store.staged_report(staged)["train_rows"] > 0


def test_a_table_with_a_time_that_no_calendar_has_is_refused_by_its_code(store: DatasetStore, tmp_path: Path) -> None:
    far = pyarrow.array([2**50], pyarrow.timestamp("ms"))
    parquet.write_table(pyarrow.table({"text": ["a"], "at": far}), tmp_path / "a.parquet")
    assert refused(store, tmp_path / "a.parquet").code == "CL-1224"


def test_rows_that_were_removed_by_hand_are_not_told_as_held(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(3)))
    stored = store.confirm(report.staged_id, store.propose(report.staged_id, "notes"))
    (stored.folder / "train.jsonl").unlink()
    assert store.held() == []
    with pytest.raises(AppError) as caught:
        store.open(stored.metadata.digest)
    assert caught.value.code == "CL-1223"


def test_the_commonest_problem_is_counted_over_the_whole_file(store: DatasetStore, tmp_path: Path) -> None:
    empty = [{"prompt": "a", "completion": ""}] * 210
    numbers = [{"prompt": "a", "completion": 1}] * 300
    error = refused(store, write_jsonl(tmp_path / "a.jsonl", [*empty, *numbers]))
    assert "line 211 is the first (CL-1201)" in error.message
    assert "file" not in error.details, "another mapping may find rows"


def test_an_error_of_a_file_names_which_of_the_two_it_is(store: DatasetStore, tmp_path: Path) -> None:
    good, bad = write_jsonl(tmp_path / "good.jsonl", pairs(3)), tmp_path / "bad.jsonl"
    bad.write_text("no row\n")
    for train, heldout, named in ((good, bad, "heldout"), (bad, good, "train")):
        error = refused(store, train, heldout=heldout)
        assert (error.code, error.details["file"]) == ("CL-1216", named)
        assert {"heldout": "held-out file", "train": "training file"}[named] in error.message


def test_one_column_is_no_prompt_and_completion_at_once(store: DatasetStore, tmp_path: Path) -> None:
    mapping = {"prompt": "prompt", "completion": "prompt"}
    error = refused(store, write_jsonl(tmp_path / "a.jsonl", pairs(4)), mapping=mapping)
    assert (error.code, error.message) == ("CL-1215", "The column 'prompt' is chosen for prompt and completion.")


def test_a_name_that_was_used_before_is_said_before_it_becomes_the_next_version(
    store: DatasetStore, tmp_path: Path
) -> None:
    for number in (1, 2):
        staged = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(4)))
        metadata = store.propose(staged.staged_id, "notes")
        assert ("becomes its version 2" in store.note(metadata)) == (number == 2)
        assert bool(store.note(metadata)) == (number == 2)
        store.confirm(staged.staged_id, metadata)


def labelled(count: int, labels: tuple[object, ...] = ("hot", "cold")) -> list[dict[str, object]]:
    return [{"text": f"weather {place}", "label": labels[place % len(labels)]} for place in range(count)]


def test_text_and_label_are_recognised_and_counted_for_the_owner_alone(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", labelled(60)))
    assert (report.form, report.mapping) == ("labelled", {"text": "text", "label": "label"})
    assert {label: sum(parts.values()) for label, parts in report.labels.items()} == {"hot": 30, "cold": 30}
    metadata = store.propose(report.staged_id, "weather")
    assert (metadata.format, metadata.labels) == ("labelled", ["cold", "hot"])
    assert "30" not in metadata.model_dump_json(exclude={"digest", "created_at"})
    assert store.propose(report.staged_id, "weather", with_labels=False).labels == []
    stored = store.confirm(report.staged_id, metadata)
    assert counted(stored.folder) == report.labels
    assert next(stored.train_rows()) == {"label": "hot", "text": "weather 0"}


def test_what_was_staged_before_there_were_labels_can_be_proposed(store: DatasetStore, tmp_path: Path) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", pairs(4)))
    [path] = tmp_path.rglob(f"{report.staged_id}/report.json")
    older = json.loads(path.read_text())
    del older["labels"]
    path.write_text(json.dumps(older))
    assert store.propose(report.staged_id, "notes").labels == []


@pytest.mark.parametrize("name", ["hot\u202e", "h\u200bot", "\ue000hot"])
def test_a_label_with_characters_that_nobody_sees_is_a_bad_row(store: DatasetStore, tmp_path: Path, name: str) -> None:
    rows = [*labelled(8), {"text": "weather", "label": name}]
    assert store.stage(write_jsonl(tmp_path / "a.jsonl", rows)).bad_rows == 1


def test_numbered_classes_are_labels_too(store: DatasetStore, tmp_path: Path) -> None:
    rows = labelled(8, labels=(0, 1.0, True))
    assert set(store.stage(write_jsonl(tmp_path / "a.jsonl", rows)).labels) == {"0", "1", "true"}


def test_the_first_row_of_each_label_trains(store: DatasetStore, tmp_path: Path) -> None:
    rows = [{"text": f"weather {place}", "label": f"label {place}"} for place in range(40)]
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", rows), eval_fraction=0.5)
    assert (report.train_rows, report.heldout_rows) == (40, 0)


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"text": " ", "label": "hot"}, "CL-1214"),
        ({"text": "a"}, "CL-1240"),
        ({"text": "a", "label": " "}, "CL-1240"),
        ({"text": "a", "label": "x" * 61}, "CL-1245"),
        ({"text": "a", "label": "hot, dry"}, "CL-1245"),
        ({"text": "a", "label": "=1+1"}, "CL-1245"),
        ({"text": "a", "label": 0.5}, "CL-1245"),
        ({"text": "a", "label": ["hot"]}, "CL-1245"),
        ({"text": 3, "label": "hot"}, "CL-1201"),
    ],
)
def test_a_row_without_a_usable_label_is_left_out_with_its_code(
    store: DatasetStore, tmp_path: Path, row: dict[str, object], code: str
) -> None:
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", [*labelled(4), row]))
    assert [(problem.line, problem.code) for problem in report.problems] == [(5, code)]


def test_a_held_out_label_that_no_training_row_has_is_left_out(store: DatasetStore, tmp_path: Path) -> None:
    heldout = write_jsonl(tmp_path / "h.jsonl", [{"text": "a", "label": "hot"}, {"text": "b", "label": "mild"}])
    report = store.stage(write_jsonl(tmp_path / "a.jsonl", labelled(6)), heldout=heldout)
    assert [(problem.file, problem.line, problem.code) for problem in report.problems] == [("heldout", 2, "CL-1243")]
    assert report.labels == {"hot": {"train": 3, "heldout": 1}, "cold": {"train": 3, "heldout": 0}}


def test_one_label_or_too_many_are_refused_with_what_to_do(store: DatasetStore, tmp_path: Path) -> None:
    one = refused(store, write_jsonl(tmp_path / "a.jsonl", labelled(9, labels=("hot",))))
    assert one.code == "CL-1242"
    many = refused(store, write_jsonl(tmp_path / "b.jsonl", labelled(202, labels=tuple(range(101)))))
    assert many.code == "CL-1244"
    assert "another column" in one.remedy
    assert "another column" in many.remedy


def test_a_label_column_of_any_name_can_be_chosen_and_one_that_is_not_there_is_named(
    store: DatasetStore, tmp_path: Path
) -> None:
    rows = [{"text": row["text"], "weather": row["label"]} for row in labelled(6)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    assert store.stage(path).form == "text"
    assert store.stage(path, mapping={"text": "text", "label": "weather"}).form == "labelled"
    assert refused_mapping(store, path).code == "CL-1215"


def refused_mapping(store: DatasetStore, path: Path) -> AppError:
    with pytest.raises(AppError) as caught:
        store.stage(path, mapping={"text": "text", "label": "mood"})
    assert "mood" in caught.value.message
    return caught.value
