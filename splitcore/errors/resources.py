"""CL-18xx. Disks, sizes, memory, ports."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1801": ErrorHelp(
        "A file is larger than allowed",
        "The upload exceeds the hub's limit per artefact.",
        "Lower the adapter's rank, or ask the hub's administrator to raise CUTLAYER_ARTEFACT_MAX_BYTES.",
    ),
    "CL-1802": ErrorHelp(
        "A message is larger than allowed",
        "The hub only accepts small messages from workers, never data.",
        "Install the same version of Cutlayer on the worker and the hub.",
    ),
    "CL-1803": ErrorHelp(
        "A request to the worker's page is larger than allowed",
        "Forms on this page can have at most 256 KiB, and files arrive in parts of at most 8 MiB.",
        "Nothing was stored. Reload the page and choose the file again. Scripts must send parts of at most 8 MiB.",
    ),
    "CL-1820": ErrorHelp(
        "The worker's disk is full",
        "No space was left for the job's files or the buffered records.",
        "Free some space on that worker. Everything already stored is intact.",
    ),
    "CL-1821": ErrorHelp(
        "The worker's disk quota is used up",
        "The operating system refused to store more data for the worker's user.",
        "Raise the quota, or delete old job folders on that worker.",
    ),
}
