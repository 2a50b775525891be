"""The hub's database as one file, and back: SQLite through its backup call, PostgreSQL through its own programs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.db import connection, connections, transaction

from processes.postgres_server import PostgresNotFoundError, find_tool, tool_environment
from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.audit.witness import chain_head
from workers.contracts import ChainHead

NAMES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
KEPT = "cutlayer_replaced"  # the schema, or the end of the file's name, in which a restore keeps what it replaces
# Their rows are live log-ins, which a restore ends anyway: a stolen backup opens no session of the hub that goes on.
SESSIONS = ("django_session", "usersessions_usersession")
_LEFT = f"A restore was cut off: the database that it was to replace is still there as {KEPT}."
_LEFT_REMEDY = "See docs/backup.md, 'A restore that was cut off'; nothing is lost."


def engine() -> str:
    """What the hub keeps its rows in."""
    return connection.vendor


def database_dump(path: Path) -> ChainHead:
    """One consistent state of a database that may be in use; returns where its audit chain ends. Raises CL-1923."""
    if engine() == "sqlite":
        with closing(sqlite3.connect(_sqlite_file())) as source, closing(sqlite3.connect(path)) as target:
            source.backup(target)
            target.execute("PRAGMA secure_delete = ON")
            for table in SESSIONS:
                target.execute(f"DELETE FROM {table}")  # noqa: S608
            target.commit()
            last = target.execute(
                f"SELECT sequence, hash FROM {AuditEntry._meta.db_table} ORDER BY sequence DESC LIMIT 1"  # noqa: S608
            ).fetchone()
        return ChainHead(sequence=last[0], head=last[1]) if last else ChainHead()
    with transaction.atomic(), connection.cursor() as cursor:  # pg_dump sees the very state in which the head is read
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_export_snapshot()")
        snapshot = f"--snapshot={cursor.fetchone()[0]}"
        options = ("--format=custom", "--no-owner", "--no-privileges", f"--exclude-schema={KEPT}")
        without = (f"--exclude-table-data=public.{table}" for table in SESSIONS)
        _tool("pg_dump", *options, *without, snapshot, f"--file={path}")
        return chain_head()


@contextmanager
def database_replaced(path: Path) -> Iterator[None]:
    """Put a dumped state in the database's place; if the block fails, what was there comes back as it was.

    What is replaced is set aside, and dropped when the block has ended well. Raises AppError CL-1921, CL-1923.
    """
    check_no_restore_was_cut_off()
    connections.close_all()
    swap = _replaced_file if engine() == "sqlite" else _replaced_schema
    with swap(path):
        yield
    connections.close_all()


def check_no_restore_was_cut_off() -> None:
    """A hub does not start on a database that is half restored. Raises AppError CL-1921."""
    if _kept_file().exists() if engine() == "sqlite" else _kept_schema():
        raise AppError("CL-1921", _LEFT, _LEFT_REMEDY)


@contextmanager
def _replaced_file(path: Path) -> Iterator[None]:
    target, kept = _sqlite_file(), _kept_file()
    try:
        _move(target, kept)
        path.replace(target)
        yield
    except BaseException:
        connections.close_all()
        if kept.exists():  # else not all of it was moved, and what is at the target is what was there
            for name in _of_sqlite(target):
                name.unlink(missing_ok=True)
        _move(kept, target)
        raise
    for name in _of_sqlite(kept):
        name.unlink(missing_ok=True)


def _of_sqlite(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in ("", "-wal", "-shm")]


def _move(source: Path, target: Path) -> None:
    """Move the database with what SQLite keeps beside it; the file itself goes last."""
    for old, new in reversed(list(zip(_of_sqlite(source), _of_sqlite(target), strict=True))):
        if old.exists():
            old.replace(new)


@contextmanager
def _replaced_schema(path: Path) -> Iterator[None]:
    try:
        _statements(f"ALTER SCHEMA public RENAME TO {KEPT}", "CREATE SCHEMA public")
        _tool("pg_restore", "--no-owner", "--no-privileges", "--single-transaction", "--exit-on-error", str(path))
        yield
    except BaseException:
        connections.close_all()
        if _kept_schema():
            _statements("DROP SCHEMA public CASCADE", f"ALTER SCHEMA {KEPT} RENAME TO public")
        raise
    _statements(f"DROP SCHEMA {KEPT} CASCADE")


def _kept_schema() -> bool:
    """Whether the schema that a restore sets aside is there."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM information_schema.schemata WHERE schema_name = %s", [KEPT])
        return cursor.fetchone() is not None


def _statements(*statements: str) -> None:
    """Run these in one transaction, and close the connection, which may remember what they changed."""
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
    connections.close_all()


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


def _kept_file() -> Path:
    return _sqlite_file().with_name(f"{_sqlite_file().name}.{KEPT}")


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
