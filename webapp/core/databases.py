"""The hub's database as one file, and back: SQLite through its backup call, PostgreSQL through its own programs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from django.db import connection, connections

from processes.postgres_server import PostgresNotFoundError, find_tool, tool_environment
from splitcore.errors import AppError

NAMES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}


def engine() -> str:
    """What the hub keeps its rows in."""
    return connection.vendor


def database_dump(path: Path) -> None:
    """One consistent state of a database that may be in use. Raises AppError CL-1923."""
    if engine() == "sqlite":
        with closing(sqlite3.connect(_sqlite_file())) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
    else:
        _tool("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={path}")


def database_load(path: Path) -> None:
    """Put a dumped state in the database's place. Raises AppError CL-1923."""
    connections.close_all()
    if engine() == "sqlite":
        target = _sqlite_file()
        for leftover in (target.with_name(f"{target.name}-wal"), target.with_name(f"{target.name}-shm")):
            leftover.unlink(missing_ok=True)
        path.replace(target)
        return
    with connection.cursor() as cursor:  # also what migrations of a newer version have made
        cursor.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public;")
    connections.close_all()
    _tool("pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(path))


def database_is_used() -> bool:
    """Whether there is anything in the database that a restore would lose."""
    return "orgs_organisation" in connection.introspection.table_names() and _has_rows()


def others_connected() -> int:
    """How many other sessions use the database; SQLite cannot say."""
    if engine() != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return int(cursor.fetchone()[0])


def _has_rows() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orgs_organisation")
        return bool(cursor.fetchone()[0])


def _sqlite_file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def _tool(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the hub's database; the password travels in the environment alone."""
    fields = connection.settings_dict
    known = {"host": fields["HOST"], "port": fields["PORT"], "username": fields["USER"], "dbname": fields["NAME"]}
    try:
        tool = find_tool(name)
    except PostgresNotFoundError as error:
        raise AppError("CL-1923", str(error)) from None
    environment = {**tool_environment(tool), **({"PGPASSWORD": fields["PASSWORD"]} if fields["PASSWORD"] else {})}
    options = [f"--{key}={value}" for key, value in known.items() if value]
    done = subprocess.run([tool, *options, *arguments], env=environment, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise AppError("CL-1923", f"{os.fspath(tool)} failed: {last[:300]}")
