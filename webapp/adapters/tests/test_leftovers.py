"""An upload that ended with the hub's process leaves a file that nobody takes up: it goes a day later."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from processes.children import start_child
from tests.stack import wait_for
from webapp.adapters.services.leftovers import leftovers_delete
from webapp.adapters.tasks import delete_leftovers
from webapp.celery import app

RECEIVING = """
import itertools, sys, time
from pathlib import Path
import django
django.setup()
from webapp.adapters.services.segments import receive
def stream():
    for _ in itertools.count():
        yield b"x" * 100_000
        time.sleep(0.01)
receive(stream(), Path(sys.argv[1]), 1 << 40)
"""


def test_an_upload_that_was_killed_with_the_hub_leaves_nothing_for_ever(settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path
    folder = tmp_path / "segments" / "run_1"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "webapp.settings.test"}
    process = start_child([sys.executable, "-c", RECEIVING, folder], env=environment)
    wait_for(lambda: any(path.stat().st_size for path in folder.glob(".incoming-*")), what="the first bytes")
    process.kill()
    process.wait()
    [left] = folder.iterdir()
    assert leftovers_delete() == 0, "it might be an upload that is under way"
    os.utime(left, (1, 1))
    delete_leftovers()
    assert not left.exists()


@pytest.mark.parametrize(
    ("name", "goes"),
    [
        ("tokenizers/run_1/.incoming-12ab", True),
        ("adapters/run_1/joint.partial", True),
        ("adapters/run_1/.joint.segments/clinic-head/adapter_config.json", True),
        ("segments/run_1/prt_1-head.safetensors", False),
        ("adapters/run_1/joint.zip", False),
        ("tokenizers/run_1/tokenizer.json", False),
    ],
)
def test_what_is_finished_stays_however_old_it_is(settings, tmp_path: Path, name: str, goes: bool) -> None:
    settings.MEDIA_ROOT = tmp_path
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"content")
    for path in (file, *file.parents[: len(Path(name).parts) - 1]):
        os.utime(path, (1, 1))
    assert leftovers_delete() == goes
    assert file.exists() == (not goes)


def test_somebody_looks_for_them() -> None:
    assert {entry["task"] for entry in app.conf.beat_schedule.values()} >= {delete_leftovers.name}
