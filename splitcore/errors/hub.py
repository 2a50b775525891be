"""CL-19xx. The hub itself, and the unforeseen."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1901": ErrorHelp(
        "The hub's message store isn't responding",
        "Wrong passwords and codes are counted in the hub's Redis. While it is down, nobody can sign in with them.",
        "Try again in a few seconds. The hub restarts Redis automatically. Running jobs and API tokens aren't "
        "affected.",
    ),
    "CL-1902": ErrorHelp(
        "The hub's folder is in use",
        "Another `serve` is running on the same folder. Two of them would sweep and migrate the same database.",
        "Stop the other one, or give this one its own folder with CUTLAYER_VAR_DIR.",
    ),
    "CL-1903": ErrorHelp(
        "The hub's port is in use",
        "Another program is using the hub's address, or this account isn't allowed to use it.",
        "Stop the other program, or choose another port with --port.",
    ),
    "CL-1904": ErrorHelp(
        "The hub's disk is full",
        "The hub can't write to its disk, which is full, over its quota or failing.",
        "Free space on the hub's machine. Workers keep their reports and resend them automatically.",
    ),
    "CL-1905": ErrorHelp(
        "The hub's database is busy",
        "Other requests blocked this one for too long. Nothing was changed.",
        "Try again in a few seconds. Workers retry automatically. If this is frequent on SQLite, use PostgreSQL.",
    ),
    "CL-1910": ErrorHelp(
        "The hub couldn't process the request",
        "The hub ran into an unexpected error. The request changed nothing.",
        "Try again. If it fails again, tell the hub's administrator the time. The cause is in the hub's log.",
    ),
    "CL-1911": ErrorHelp(
        "The hub repeatedly fails on a record",
        "The hub failed on it ten times while accepting other messages from the worker.",
        "Other records aren't affected, and a note replaces this one. Report it to the hub's administrator.",
    ),
    "CL-1921": ErrorHelp(
        "A backup or a restore would overwrite something",
        "The target is an existing file, a hub with content, a running hub, or in use by another backup or restore.",
        "Stop the hub. `restore --replace` moves a hub with content aside. Nothing is deleted.",
    ),
    "CL-1922": ErrorHelp(
        "The backup can't be used",
        "The file is damaged, truncated, from a newer version, or from a hub with a different kind of database.",
        "Use another backup. Nothing was changed.",
    ),
    "CL-1923": ErrorHelp(
        "The database couldn't be copied or loaded",
        "SQLite: the file is damaged or the disk is full. PostgreSQL: pg_dump or pg_restore is missing or failed.",
        "SQLite: free some space, or restore an older backup. PostgreSQL: put client programs of the server's version "
        "or newer on PATH. Then try again. Existing data is unchanged.",
    ),
    "CL-1924": ErrorHelp(
        "The restore succeeded, but the old database couldn't be moved aside",
        "The backup is in place. The replaced database is still next to it, so `serve` refuses to start.",
        "Move the file `….cutlayer_replaced` elsewhere, or on PostgreSQL: DROP SCHEMA cutlayer_replaced CASCADE (its"
        " dump is in `replaced-NAME/`). Then start the hub.",
    ),
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "An error occurred that has no code of its own.",
        "Check the worker's local log for the type of error and where it occurred.",
    ),
}
