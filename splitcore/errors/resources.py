"""CL-18xx. Disks, sizes, memory, ports."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1801": ErrorHelp(
        "A file is larger than allowed",
        "The upload exceeds the hub's limit for one artefact.",
        "Lower the adapter's rank, or ask the hub's administrator to raise CUTLAYER_ARTEFACT_MAX_BYTES.",
    ),
    "CL-1802": ErrorHelp(
        "A message is larger than allowed",
        "The hub takes only small messages from workers, never data.",
        "Install the same version of Cutlayer on the worker and the hub.",
    ),
    "CL-1803": ErrorHelp(
        "A request to the worker's page is larger than allowed",
        "A form of this page is at most 256 KiB, and a file arrives in parts of at most 8 MiB.",
        "Nothing was stored. Reload the page and choose the file again; a script sends parts of at most 8 MiB.",
    ),
    "CL-1820": ErrorHelp(
        "The worker's disk is full",
        "There was no space left for the job's files or the buffered records.",
        "Free some space on that worker; what was already stored is intact.",
    ),
    "CL-1821": ErrorHelp(
        "The worker's disk quota is used up",
        "The operating system refused to store more for the worker's user.",
        "Raise the quota, or delete old job folders on that worker.",
    ),
}
