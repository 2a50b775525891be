"""CL-19xx. The hub itself, and the unforeseen."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1901": ErrorHelp(
        "The hub's message store does not answer",
        "Wrong passwords and codes are counted in the hub's Redis. While it is away, nobody can sign in with one.",
        "Try again in a few seconds: the hub starts it again. Running jobs and API tokens are not affected.",
    ),
    "CL-1902": ErrorHelp(
        "The hub's folder is in use",
        "Another `serve` runs on the same folder, and two would sweep and migrate the same database.",
        "Stop the other one, or give this one a folder of its own with CUTLAYER_VAR_DIR.",
    ),
    "CL-1903": ErrorHelp(
        "The hub's port is taken",
        "Another program listens at the address at which the hub is to listen, or this account may not use it.",
        "Stop the other program, or choose another port with --port.",
    ),
    "CL-1904": ErrorHelp(
        "The hub's disk is full",
        "The hub cannot write to its disk: it is full, over its quota, or fails.",
        "Free space on the hub's machine. Workers keep what they have to report, and send it again by themselves.",
    ),
    "CL-1905": ErrorHelp(
        "The hub's database is busy",
        "Others held what this request had to write for longer than it waits. It changed nothing.",
        "Try again in a few seconds; workers do so by themselves. A hub that is often busy on SQLite needs PostgreSQL.",
    ),
    "CL-1910": ErrorHelp(
        "The hub failed at a request",
        "The hub met a condition that it has no answer for. The request changed nothing.",
        "Try again. If it fails again, give the hub's administrator the time: the cause is in the hub's log.",
    ),
    "CL-1911": ErrorHelp(
        "The hub fails at a record again and again",
        "The hub answered ten times with a fault of its own, and took other things from the worker in between.",
        "Nothing else is held back: a note stands in its place. Report it to the hub's administrator.",
    ),
    "CL-1921": ErrorHelp(
        "A backup or a restore would overwrite something",
        "A file, a hub with content, a hub that runs or another backup or restore is in its place.",
        "Stop the hub. `restore --replace` moves a hub with content aside; nothing is deleted.",
    ),
    "CL-1922": ErrorHelp(
        "The backup cannot be used",
        "The file is damaged, cut off, of a newer version, or of a hub on another kind of database.",
        "Take another backup. Nothing was changed.",
    ),
    "CL-1923": ErrorHelp(
        "The database could not be copied or loaded",
        "SQLite's file is damaged or its disk full; or PostgreSQL's programs pg_dump and pg_restore are missing or"
        " refused.",
        "SQLite: make room, or restore an older backup. PostgreSQL: install its client programs, of the server's"
        " version or newer, on PATH. Then try again; what was there before is unchanged.",
    ),
    "CL-1924": ErrorHelp(
        "The restore is done, but what it replaced could not be put away",
        "The backup is in the hub's place. The replaced database is still beside it, and `serve` refuses to start.",
        "Move the file `….cutlayer_replaced` elsewhere, or on PostgreSQL: DROP SCHEMA cutlayer_replaced CASCADE (its"
        " dump is in `replaced-NAME/`). Then start the hub.",
    ),
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "The program met a condition that it has no code for.",
        "Look into the worker's local log; the class of the error and the line are there.",
    ),
}
