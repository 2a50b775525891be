"""CL-19xx. The hub itself, and the unforeseen."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1901": ErrorHelp(
        "The hub's message store is not responding",
        "Wrong passwords and codes are counted in the hub's Redis. While it is down, nobody can sign in with them.",
        "Try again in a few seconds. The hub restarts it. Running jobs and API tokens are not affected.",
    ),
    "CL-1902": ErrorHelp(
        "The hub's folder is in use",
        "Another `serve` is running on the same folder. Two would sweep and migrate the same database.",
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
        "The hub could not process the request",
        "The hub ran into an unexpected error. The request changed nothing.",
        "Try again. If it fails again, tell the hub's administrator the time. The cause is in the hub's log.",
    ),
    "CL-1911": ErrorHelp(
        "The hub repeatedly fails on a record",
        "The hub failed on it ten times while accepting other messages from the worker.",
        "Nothing else is held back, and a note takes the record's place. Report it to the hub's administrator.",
    ),
    "CL-1921": ErrorHelp(
        "A backup or a restore would overwrite something",
        "The target is an existing file, a hub with content, a running hub, or in use by another backup or restore.",
        "Stop the hub. `restore --replace` moves a hub with content aside. Nothing is deleted.",
    ),
    "CL-1922": ErrorHelp(
        "The backup cannot be used",
        "The file is damaged, truncated, from a newer version, or from a hub with a different kind of database.",
        "Use another backup. Nothing was changed.",
    ),
    "CL-1923": ErrorHelp(
        "The database could not be copied or loaded",
        "SQLite: the file is damaged or the disk is full. PostgreSQL: pg_dump or pg_restore is missing or was refused.",
        "SQLite: free some space, or restore an older backup. PostgreSQL: install the client programs on PATH, in the"
        " server's version or newer. Then try again. Nothing that was there before has changed.",
    ),
    "CL-1924": ErrorHelp(
        "The restore succeeded, but the old database could not be moved aside",
        "The backup is in place. The replaced database is still next to it, and `serve` refuses to start.",
        "Move the file `….cutlayer_replaced` elsewhere, or on PostgreSQL: DROP SCHEMA cutlayer_replaced CASCADE (its"
        " dump is in `replaced-NAME/`). Then start the hub.",
    ),
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "The program ran into a condition that has no code.",
        "Check the worker's local log for the error's class and line.",
    ),
}
