"""Secrets are whole or absent, two writers never share a draft, and nothing is left open to other accounts."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from processes import private_files
from processes.private_files import born, close_new_files, first_lax, private_folder, replace_private, tighten

RACE = """
import sys, time
from pathlib import Path
from processes.private_files import born
while time.time() < float(sys.argv[2]):
    pass
sys.stdout.buffer.write(born(Path(sys.argv[1]), lambda: __import__("os").urandom(32).hex().encode()))
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_has_no_name_before_it_is_whole(tmp_path: Path, monkeypatch) -> None:
    path, seen = tmp_path / "keys" / "secret", []

    def look(descriptor: int) -> None:
        seen.append(path.exists())

    monkeypatch.setattr(private_files.os, "fsync", look)
    assert born(path, lambda: b"whole") == b"whole"
    assert seen[0] is False
    assert mode(path) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_processes_that_make_a_secret_at_once_read_the_same_one(tmp_path: Path) -> None:
    import time

    command = [sys.executable, "-c", RACE, str(tmp_path / "secret"), str(time.time() + 1.5)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(6)]
    answers = {child.communicate(timeout=60)[0] for child in children}
    assert len(answers) == 1
    assert len(answers.pop()) == 64


def test_threads_that_replace_one_file_at_once_never_meet_in_a_draft(tmp_path: Path) -> None:
    path = tmp_path / "desired"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: replace_private(path, str(n).encode()), range(200)))  # raises what a thread raised
    assert path.read_text().isdigit()
    assert [entry.name for entry in tmp_path.iterdir()] == ["desired"]


def test_what_an_older_version_left_open_is_closed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    outside.chmod(0o644)
    folder = tmp_path / "hub"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "web.log").write_text("")
    (folder / "link").symlink_to(outside)
    for path, rights in ((folder, 0o755), (folder / "logs", 0o750), (folder / "logs" / "web.log", 0o644)):
        path.chmod(rights)
    assert first_lax(folder) is not None
    assert tighten(folder) == 3
    assert first_lax(folder) is None
    assert (mode(folder), mode(folder / "logs"), mode(folder / "logs" / "web.log")) == (0o700, 0o700, 0o600)
    assert mode(outside) == 0o644


def test_new_files_are_closed_and_an_open_folder_is_too(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        close_new_files()
        (tmp_path / "file").write_text("")
        (tmp_path / "folder").mkdir()
    finally:
        os.umask(before)
    assert (mode(tmp_path / "file"), mode(tmp_path / "folder")) == (0o600, 0o700)
    (tmp_path / "folder").chmod(0o755)
    assert mode(private_folder(tmp_path / "folder")) == 0o700
