"""CL-19xx. The hub itself, and the unforeseen."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "The program met a condition that it has no code for.",
        "Look into the worker's local log; the class of the error and the line are there.",
    ),
}
