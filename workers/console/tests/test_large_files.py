"""Files that are large where a reader hurts: read within the check's memory, or refused with a code."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pyarrow
import pytest
from pyarrow import parquet

from processes.children import start_child
from splitcore.errors import AppError
from workers.console.checking import start_check
from workers.data import checking
from workers.data.checking import answers, columns_of_file
from workers.data.store import DatasetStore
from workers.tests.support import wait_for

MIB = 1 << 20
GROWTH = 64 * MIB  # what the process that holds the jobs may take for a check


def endless_csv_line(path: Path) -> Path:
    with path.open("wb") as file:
        file.write(b"prompt,completion\n")
        for _ in range(110):
            file.write(b"a" * MIB)
    return path


def endless_quoted_row(path: Path) -> Path:
    with path.open("wb") as file:
        file.write(b'prompt,completion\n"')
        for _ in range(101):
            file.write((b"a" * 1023 + b"\n") * 1024)
    return path


def one_long_text(path: Path) -> Path:
    text = pyarrow.array([os.urandom(10 * MIB).hex()])  # 20 MiB a copy, 1.3 GiB in all rows together
    prompt = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 64, pyarrow.int32()), text)
    parquet.write_table(pyarrow.table({"prompt": prompt, "completion": ["b"] * 64}), path, compression="zstd")
    return path


def one_page_of_long_texts(path: Path) -> Path:
    rows = {"prompt": ["a" * (60 * MIB)] * 2, "completion": ["b"] * 2}
    parquet.write_table(pyarrow.table(rows), path, use_dictionary=False, write_statistics=False)
    return path


def wide_table(path: Path) -> Path:
    columns = {"prompt": ["p"] * 20, "completion": ["c"] * 20}
    columns |= {f"column_{number}": ["x" * 200] * 20 for number in range(2000)}
    parquet.write_table(pyarrow.table(columns), path)
    return path


def nested_json(path: Path) -> Path:
    line = b'{"prompt": "p", "completion": "c", "x": [' + b"[]," * MIB + b"[]]}\n"
    path.write_bytes(line)
    return path


def resident() -> int:
    return int(psutil.Process().memory_info().rss)


def outcome(store: DatasetStore, path: Path) -> dict[str, Any]:
    """How the console's own check of a file ends, and that this process has not grown by it."""
    before = resident()
    job = start_check(path.name, store, path, name=path.name)
    wait_for(lambda: job.done, seconds=110, what="the end of the check")
    assert resident() - before < GROWTH
    return job.to_dict()


REFUSED: dict[str, tuple[Callable[[Path], Path], str, set[str]]] = {
    "a CSV line of 110 MiB without an end": (endless_csv_line, "a.csv", {"CL-1216", "CL-1224"}),
    "a quoted CSV row of 101 MiB": (endless_quoted_row, "a.csv", {"CL-1216", "CL-1224"}),
    "long texts in one page": (
        one_page_of_long_texts,
        "a.parquet",
        {"CL-1216", "CL-1225", "CL-1227"},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_of_a_hostile_shape_is_refused_with_a_code(tmp_path: Path, case: str) -> None:
    make, name, codes = REFUSED[case]
    store = DatasetStore(tmp_path / "home")
    ended = outcome(store, make(tmp_path / name))
    assert ended["error"] is not None
    assert ended["error"]["code"] in codes
    assert not list(store.staging.glob("*")), "a refused file leaves nothing behind"


@pytest.mark.parametrize(("make", "name"), [(wide_table, "a.parquet"), (nested_json, "a.jsonl")])
def test_a_file_of_an_odd_shape_is_read_within_the_memory_of_a_check(
    tmp_path: Path, make: Callable[[Path], Path], name: str
) -> None:
    store = DatasetStore(tmp_path / "home")
    ended = outcome(store, make(tmp_path / name))
    assert ended["error"] is None
    report = store.staged_report(ended["staged_id"])
    assert report["train_rows"] + report["heldout_rows"] > 0


def test_one_long_text_in_many_rows_is_refused_within_bounds(tmp_path: Path) -> None:
    ended = outcome(DatasetStore(tmp_path / "home"), one_long_text(tmp_path / "a.parquet"))
    assert ended["error"] is not None
    assert ended["error"]["code"] in ("CL-1216", "CL-1225", "CL-1227")


def test_what_takes_more_memory_than_a_check_has_is_refused_by_its_code(tmp_path: Path) -> None:
    path = one_long_text(tmp_path / "a.parquet")
    spec = {"work": "columns", "path": str(path), "name": path.name}
    with pytest.raises(AppError, match="CL-1227"):
        list(answers(spec, seconds=60, memory_bytes=8 * MIB))


def test_a_check_that_takes_too_long_is_ended_with_its_code(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "p", "completion": "c"}) + "\n")
    with pytest.raises(AppError, match="CL-1228"):
        list(answers({"work": "columns", "path": str(path), "name": path.name}, seconds=0.01))


def test_the_columns_are_read_in_a_process_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    start = checking.start_child

    def noted(command: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(command)
        return start(command, **options)

    monkeypatch.setattr(checking, "start_child", noted)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"prompt": "p", "completion": "c"}) + "\n")
    assert columns_of_file(path, "a.jsonl") == ("jsonl", ["prompt", "completion"])
    assert len(started) == 1


def test_a_check_s_command_line_names_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def start(command: list[str], **options: Any) -> Any:
        commands.append(command)
        return start_child(command, **options)

    monkeypatch.setattr(checking, "start_child", start)
    path = tmp_path / "patients.jsonl"
    path.write_text('{"prompt": "p", "completion": "c"}\n')
    assert columns_of_file(path, "patients.jsonl") == ("jsonl", ["prompt", "completion"])
    assert "patients" not in str(commands)


def test_so_many_files_and_no_more_are_looked_at_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    monkeypatch.setattr(checking, "answers", lambda spec, seconds: started.append(1) or iter([{}]))
    monkeypatch.setattr(checking, "COLUMNS_SECONDS", 0.01)
    with checking.COLUMNS_AT_ONCE, checking.COLUMNS_AT_ONCE, pytest.raises(AppError, match="CL-1228"):
        columns_of_file(tmp_path / "a.jsonl", "a.jsonl")
    assert started == []
