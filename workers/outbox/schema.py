"""The spool's tables and how an older file becomes one of today: `PRAGMA user_version` counts the steps taken.

A step is never changed once it is released; a new one is appended. Each runs in one transaction, so that a process
that dies in the middle leaves the file as it was, and two processes that open it at once take each step once.
"""

from __future__ import annotations

import sqlite3

# Step 1 must also fit the files of releases that had no version yet: their tables exist.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE IF NOT EXISTS participants ("
        " participant_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, attempt INTEGER NOT NULL DEFAULT 0,"
        " last_seq INTEGER NOT NULL DEFAULT 0, stored_through INTEGER NOT NULL DEFAULT 0)",
        "CREATE TABLE IF NOT EXISTS records ("
        " participant_id TEXT NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL, step INTEGER, at TEXT NOT NULL,"
        " payload TEXT NOT NULL, PRIMARY KEY (participant_id, seq)) WITHOUT ROWID",
        "CREATE TABLE IF NOT EXISTS outbox ("
        " id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL, participant_id TEXT NOT NULL, kind TEXT NOT NULL,"
        " attempt INTEGER NOT NULL, body TEXT NOT NULL, file TEXT NOT NULL DEFAULT '', created_at REAL NOT NULL,"
        " sent_at REAL, refused TEXT NOT NULL DEFAULT '')",
        "CREATE TABLE IF NOT EXISTS jobs ("
        " job_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, participant_id TEXT NOT NULL, kind TEXT NOT NULL,"
        " attempt INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL, phase TEXT NOT NULL DEFAULT 'waiting',"
        " step INTEGER NOT NULL DEFAULT 0, rung_at REAL NOT NULL DEFAULT 0, rings INTEGER NOT NULL DEFAULT 0,"
        " outcome TEXT NOT NULL DEFAULT '')",
    ),
    # The contract and the party that were admitted: a job starts with no other, whatever the hub lists later.
    (
        "ALTER TABLE jobs ADD COLUMN contract_hash TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN party TEXT NOT NULL DEFAULT ''",
    ),
    # What people of this site are asked to decide: certificates to trust, contracts to approve.
    (
        "CREATE TABLE waiting ("
        " kind TEXT NOT NULL, subject TEXT NOT NULL, run_id TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL,"
        " asked_at REAL NOT NULL, PRIMARY KEY (kind, subject)) WITHOUT ROWID",
    ),
    # The adapters that were measured on this site's rows, by contract and party.
    (
        "CREATE TABLE evaluations ("
        " contract_hash TEXT NOT NULL, party TEXT NOT NULL, adapter_sha256 TEXT NOT NULL,"
        " PRIMARY KEY (contract_hash, party, adapter_sha256)) WITHOUT ROWID",
    ),
    # What was measured on a dataset, when, and on which rows: a hub makes as many contracts as it likes.
    (
        "CREATE TABLE measured ("
        " dataset_digest TEXT NOT NULL, contract_hash TEXT NOT NULL, adapter_sha256 TEXT NOT NULL, at REAL NOT NULL,"
        " PRIMARY KEY (dataset_digest, contract_hash, adapter_sha256)) WITHOUT ROWID",
        "CREATE TABLE selections ("
        " dataset_digest TEXT NOT NULL, rows TEXT NOT NULL, PRIMARY KEY (dataset_digest, rows))",
    ),
    # Two runs may wait for the same certificate. What waits is asked again within seconds.
    (
        "DROP TABLE waiting",
        "CREATE TABLE waiting ("
        " kind TEXT NOT NULL, subject TEXT NOT NULL, run_id TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL,"
        " asked_at REAL NOT NULL, PRIMARY KEY (kind, subject, run_id)) WITHOUT ROWID",
    ),
)


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the steps that this file still lacks. Raises sqlite3.Error."""
    while _version(connection) < len(MIGRATIONS):
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = _version(connection)  # another process may have taken it meanwhile
            if version < len(MIGRATIONS):
                for statement in MIGRATIONS[version]:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version + 1}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
