"""What the command prints cannot command the terminal, whoever wrote it."""

from __future__ import annotations

import io

import pytest
from rich.table import Table
from rich.text import Text

from workers.cli import console, watching
from workers.cli.console import PlainConsole

EVIL = "\x1b]52;c;cm0gLXJmIH4=\x07\x1b[2J\x9b2J\r\u202eall is well"


def printed(what: object) -> str:
    file = io.StringIO()
    PlainConsole(file=file, force_terminal=True, highlight=False, soft_wrap=True, color_system=None).print(what)
    return file.getvalue()


def table() -> Table:
    made = Table(box=None)
    made.add_column("Name")
    made.add_row(EVIL)
    return made


@pytest.mark.parametrize("what", [EVIL, Text(EVIL), table()], ids=["text", "rich text", "table"])
def test_no_text_commands_the_terminal(what: object) -> None:
    text = printed(what)
    assert not set(text) & set("\x1b\x07\x9b\r\u202e")
    assert "all is" in text


def test_a_run_is_watched_without_the_commands_in_its_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(watching, "out", PlainConsole(file=file, force_terminal=True, color_system=None))
    run = {"state": "failed", "step": 1, "total_steps": 2, "failure": {"code": "CL-1", "message": EVIL}}
    watching._show(run, as_json=False)
    assert "\x1b" not in file.getvalue()


def test_colours_stay() -> None:
    file = io.StringIO()
    PlainConsole(file=file, force_terminal=True, color_system="standard").print(Text("red", style="red"))
    assert "\x1b[31mred" in file.getvalue()


IDS = ("dsv_nd2thp9ajqm4wd9h", "wrk_f0mhcx7xnmej6jfe")
NOTES = "Notes of the triage 2026, part one"


def table_of(monkeypatch: pytest.MonkeyPatch, *, width: int, terminal: bool) -> list[str]:
    """The lines of a table of one row."""
    file = io.StringIO()
    shown = PlainConsole(file=file, width=width, force_terminal=terminal, color_system=None, soft_wrap=True)
    monkeypatch.setattr(console, "out", shown)
    console.show_table(("Dataset", "Version", "Worker"), [(NOTES, *IDS)])
    return file.getvalue().splitlines()


def test_a_table_breaks_between_words_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table_of(monkeypatch, width=64, terminal=True)
    assert max(map(len, lines)) <= 64
    words = " ".join(lines).split()
    assert sorted(words) == sorted(["Dataset", "Version", "Worker", *NOTES.split(), *IDS])


def test_a_terminal_that_is_too_narrow_for_a_table_gets_a_line_for_each_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table_of(monkeypatch, width=40, terminal=True)
    assert lines == [f"Dataset: {NOTES}", f"Version: {IDS[0]}", f"Worker: {IDS[1]}", ""]


def test_a_row_in_a_pipe_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = table_of(monkeypatch, width=40, terminal=False)
    assert len(lines) == 2
    assert all(word in lines[1] for word in (NOTES, *IDS))
