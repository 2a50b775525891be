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


def test_an_id_in_a_table_stays_whole_however_narrow_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(console, "out", console.PlainConsole(file=file, width=60))
    ids = ("dsv_nd2thp9ajqm4wd9h", "wrk_f0mhcx7xnmej6jfe")
    console.show_table(("Dataset", "Version", "Worker"), [("Notes of the triage 2026, part one", *ids)])
    assert all(one in file.getvalue() for one in ids)
