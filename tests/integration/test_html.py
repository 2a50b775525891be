"""Every page of the hub and of a worker's console is valid HTML, judged by html-validate (rules: .htmlvalidate.mjs)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import transaction
from django.test import Client

from tests.integration.test_permission_table import HTTP_ROWS, address, body, signed_in_admin
from webapp.orgs.tests.permission_table import Row, World, make_world
from workers.console.tests.conftest import RunningConsole, Visitor, console  # noqa: F401
from workers.console.tests.test_console import ROWS, check, upload
from workers.console.tests.test_decisions import ask

pytestmark = pytest.mark.integration
REPO = Path(__file__).resolve().parents[2]
# An answer that a script puts into a page, in a page of its own.
AROUND = '<!DOCTYPE html>\n<html lang="en"><head><title>Part</title></head><body>{}</body></html>'
BEHIND_THE_PIN = ("/", "/datasets", "/datasets/notes/1", "/add", "/ledger", "/policy", "/decisions", "/doctor", "/logs")


def complaints(folder: Path) -> list[str]:
    """What html-validate says of the files of a folder; one process for all of them."""
    told = folder.with_name("told.json")  # its standard output is cut at 64 KiB
    command = [str(REPO / "node_modules/.bin/html-validate"), "--config", str(REPO / ".htmlvalidate.mjs")]
    command += ["--formatter", f"json={told}", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert told.exists(), done.stdout + done.stderr
    return [
        f"{Path(file['filePath']).stem}: {one['ruleId']} at line {one['line']}: {one['message']} ({one['selector']})"
        for file in json.loads(told.read_text())
        for one in file["messages"]
    ]


def kept(folder: Path, pages: Iterable[tuple[str, str]]) -> Path:
    """The folder, with a file for each page or part of one."""
    folder.mkdir()
    for name, html in pages:
        whole = html.lstrip()[:15].lower().startswith("<!doctype html>")
        (folder / f"{re.sub('[^a-z0-9]+', '-', name.lower())}.html").write_text(html if whole else AROUND.format(html))
    return folder


def pages_of_the_hub(world: World) -> Iterator[tuple[str, str]]:
    """Name and HTML of what each route answers its administrator, and a visitor where the route is open."""
    for row in HTTP_ROWS:
        if row.kind == "page" and "GET" in row.expect:
            yield from _asked(row, "admin", signed_in_admin(world), world)
            if row.expect["GET"]["anonymous"] == 200:
                yield from _asked(row, "visitor", Client(), world)
    yield "not found", Client().get("/nothing-here").content.decode()


def _asked(row: Row, actor: str, client: Client, world: World) -> Iterator[tuple[str, str]]:
    cache.clear()
    with transaction.atomic():
        answer = client.get(address(row, world), body(row, "GET", world))
        transaction.set_rollback(True)
    html = answer.headers.get("Content-Type", "").startswith("text/html")
    if answer.status_code == 200 and not answer.streaming and html:
        yield f"{row.route} {actor}", answer.content.decode()


@pytest.mark.django_db
def test_every_page_of_the_hub_is_valid_html(tmp_path: Path) -> None:
    folder = kept(tmp_path / "pages", pages_of_the_hub(make_world()))
    assert len(list(folder.iterdir())) > 60
    assert "\n".join(complaints(folder)) == ""


def pages_of_a_console(console: RunningConsole) -> Iterator[tuple[str, str]]:  # noqa: F811
    """Name and HTML of every page of a console: locked, open, empty, and with something to decide."""
    visitor = console.browser()
    yield from ((f"locked {path}", visitor.http.get(path).text) for path in (*BEHIND_THE_PIN, "/pin"))
    visitor.unlock(console.pin)
    yield from ((f"empty {path}", visitor.http.get(path).text) for path in BEHIND_THE_PIN)
    ask(console)
    yield from _adding(visitor)
    visitor.send("POST", "/uploads", json={"name": "later.jsonl", "size": 100})
    yield from ((f"filled {path}", visitor.http.get(path).text) for path in BEHIND_THE_PIN)


def _adding(visitor: Visitor) -> Iterator[tuple[str, str]]:
    staged = f"/staged/{check(visitor, upload(visitor, 'notes.jsonl', ROWS.encode()))['staged_id']}"
    form = {"name": "notes", "with_columns": "on"}
    yield "staged", visitor.http.get(staged).text
    yield "proposed", visitor.send("POST", f"{staged}/propose", data=form, headers={"Accept": "text/html"}).text
    yield "added", visitor.send("POST", f"{staged}/confirm", data=form, headers={"Accept": "text/html"}).text


def test_every_page_of_a_console_is_valid_html(console: RunningConsole, tmp_path: Path) -> None:  # noqa: F811
    folder = kept(tmp_path / "pages", pages_of_a_console(console))
    assert len(list(folder.iterdir())) > 25
    assert "\n".join(complaints(folder)) == ""
