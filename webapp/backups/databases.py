"""The hub's database as one file: SQLite through its backup call, PostgreSQL through its own programs."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from django.db import DatabaseError, connection, transaction

from processes.postgres_server import PostgresNotFoundError, find_tool, tool_environment
from splitcore.errors import AppError
from webapp.audit.models import AuditEntry
from webapp.audit.witness import chain_head
from workers.contracts import ChainHead

KEPT = "cutlayer_replaced"  # the schema, or the end of the file's name, in which a restore keeps what it replaces
NAMES = {"sqlite": "database.sqlite3", "postgresql": "database.dump"}
# Their rows are live log-ins, which a restore ends anyway: a stolen backup holds no session of the hub that goes on.
SESSIONS = ("django_session", "usersessions_usersession")
SETTLE_SECONDS = 1.5
WATCH_SECONDS = 6.0  # a hub that runs opens a session within this: it sweeps every five


def engine() -> str:
    """What the hub keeps its rows in."""
    return connection.vendor


def sqlite_file() -> Path:
    """Where SQLite keeps the hub's rows."""
    return Path(str(connection.settings_dict["NAME"]))


def database_dump(path: Path) -> ChainHead:
    """One consistent state of a database that may be in use; returns where its audit chain ends. Raises CL-1923."""
    if engine() == "sqlite":
        try:
            return _sqlite_dump(path)
        except sqlite3.Error as error:
            raise AppError("CL-1923", f"The database can't be copied: {error}.") from None
    with transaction.atomic(), connection.cursor() as cursor:  # pg_dump sees the very state in which the head is read
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT pg_export_snapshot()")
        snapshot = f"--snapshot={cursor.fetchone()[0]}"
        options = ("--format=custom", "--no-owner", "--no-privileges", f"--exclude-schema={KEPT}")
        without = (f"--exclude-table-data=public.{table}" for table in SESSIONS)
        run_tool("pg_dump", *options, *without, snapshot, f"--file={path}")
        return chain_head()


def _sqlite_dump(path: Path) -> ChainHead:
    with closing(sqlite3.connect(sqlite_file())) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)
        target.execute("PRAGMA secure_delete = ON")
        for table in SESSIONS:
            target.execute(f"DELETE FROM {table}")  # noqa: S608
        target.commit()
        last = target.execute(
            f"SELECT sequence, hash FROM {AuditEntry._meta.db_table} ORDER BY sequence DESC LIMIT 1"  # noqa: S608
        ).fetchone()
    return ChainHead(sequence=last[0], head=last[1]) if last else ChainHead()


def chain_end() -> ChainHead | None:
    """Where the audit chain of this database ends, if it can still be read."""
    try:
        return chain_head()
    except DatabaseError:
        return None


def database_is_used() -> bool:
    """Whether a restore would lose anything of the database; one that cannot be read may hold anything."""
    try:
        return "orgs_organisation" in connection.introspection.table_names() and _has_rows()
    except DatabaseError:
        if engine() == "sqlite":
            return True
        raise


def _has_rows() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM orgs_organisation")
        return bool(cursor.fetchone()[0])


def others_connected() -> bool:
    """Whether others use the database, in a while of watching for new sessions; SQLite cannot say."""
    if engine() != "postgresql":
        return False
    _sessions()
    time.sleep(SETTLE_SECONDS)  # by then the server has counted this one
    before, deadline = _sessions(), time.monotonic() + WATCH_SECONDS
    while True:
        opened, open_now = _sessions()
        if open_now or opened > before[0]:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)


def _sessions() -> tuple[int, int]:
    """How many sessions were opened since the server counts, and how many others are open now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT sessions FROM pg_stat_database WHERE datname = current_database()),"
            " (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND pid <> pg_backend_pid() AND backend_type = 'client backend')"
        )
        opened, open_now = cursor.fetchone()
        return int(opened), int(open_now)


def run_tool(name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs on the hub's database; the password travels in the environment alone.

    Raises AppError CL-1923.
    """
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
