"""`cutlayer worker data add`: a file is checked in a process of its own here too, and shown before it is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from splitcore.errors import AppError
from workers.cli import app
from workers.data import checking
from workers.data.register import is_registered, register_pending
from workers.data.store import DatasetStore
from workers.hub import HubClient
from workers.settings import WorkerHome
from workers.tests.support import FakeHub, enrolled_home, fake_hub

ROWS = "".join(json.dumps({"prompt": f"p{number}", "completion": "c"}) + "\n" for number in range(1200))
MIB = 1 << 20


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as made:
        yield made


@pytest.fixture
def home(hub: FakeHub, tmp_path: Path) -> WorkerHome:
    return enrolled_home(tmp_path / "home", hub.url)


def add(home: WorkerHome, file: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["worker", "data", "add", str(file), "--home", str(home.root), *options])


def test_a_file_is_checked_in_a_process_then_stored_and_registered(
    hub: FakeHub, home: WorkerHome, tmp_path: Path
) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(ROWS + "{broken\n")
    result = add(home, file, "--yes", "--eval-fraction", "0")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "1200 training rows" in result.output
    assert "train line 1201: CL-1213" in result.output
    [told] = hub.bodies("/datasets")
    assert (told["name"], told["train_rows"]) == ("notes", 1200)
    [stored] = DatasetStore(home.root).versions()
    assert len(list(stored.train_rows())) == 1200


def test_a_version_that_the_hub_refuses_keeps_no_other_one_back(hub: FakeHub, home: WorkerHome, tmp_path: Path) -> None:
    store, file = DatasetStore(home.root), tmp_path / "notes.jsonl"
    file.write_text('{"prompt": "p", "completion": "c"}\n')
    for name in ("first", "second"):
        staged = store.stage(file).staged_id
        store.confirm(staged, store.propose(staged, name))
    answer = hub.answer

    def refuse_first(method: str, path: str, body: Any) -> Any:
        if path.endswith("/datasets") and body["name"] == "first":
            return 409, AppError("CL-1418").to_dict()
        return answer(method, path, body)

    hub.answer = refuse_first  # type: ignore[method-assign]
    with closing(HubClient.of(home)) as client, pytest.raises(AppError, match="CL-1418"):
        register_pending(store, client)
    assert [(one.metadata.name, is_registered(one)) for one in store.versions()] == [("first", False), ("second", True)]


def test_a_person_who_says_no_leaves_nothing_behind(hub: FakeHub, home: WorkerHome, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text(ROWS)
    result = CliRunner().invoke(app, ["worker", "data", "add", str(file), "--home", str(home.root)], input="n\n")
    assert result.exit_code == 1
    assert "Nothing was stored and nothing was sent." in result.output
    assert hub.bodies("/datasets") == []
    assert not list(DatasetStore(home.root).staging.glob("*"))


def test_a_file_that_takes_more_memory_than_a_check_has_is_refused_and_leaves_nothing(
    hub: FakeHub, home: WorkerHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "answers", partial(checking.answers, memory_bytes=4 * MIB))
    file = tmp_path / "long.jsonl"
    file.write_text(json.dumps({"prompt": "a" * (6 * MIB), "completion": "c"}) + "\n")
    result = add(home, file, "--yes")
    assert isinstance(result.exception, AppError), (result.output, result.exception)
    assert result.exception.code == "CL-1227"
    assert not list(DatasetStore(home.root).staging.glob("*"))
    assert hub.calls == []


@pytest.mark.parametrize("answer", ["n\n", ""])
def test_whoever_does_not_say_yes_leaves_nothing_behind(home: WorkerHome, tmp_path: Path, answer: str) -> None:
    """At the end of the input, as at Ctrl-C, the question has no answer."""
    file = tmp_path / "notes.jsonl"
    file.write_text(ROWS)
    command = ["worker", "data", "add", str(file), "--home", str(home.root)]
    assert CliRunner().invoke(app, command, input=answer).exit_code == 1
    assert not list(DatasetStore(home.root).staging.iterdir())
    assert not DatasetStore(home.root).versions()


def test_columns_that_nobody_named_are_asked_for_by_the_option_for_them(home: WorkerHome, tmp_path: Path) -> None:
    file = tmp_path / "notes.jsonl"
    file.write_text('{"a": "x", "b": "y"}\n')
    error = add(home, file, "--yes").exception
    assert isinstance(error, AppError)
    assert error.code == "CL-1215"
    assert "--column prompt=NAME" in error.remedy
    assert "The file has: a, b." in error.remedy
