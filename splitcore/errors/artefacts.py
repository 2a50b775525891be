"""CL-17xx. Segments and adapters."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1701": ErrorHelp(
        "A segment of the adapter is missing or wrong",
        "A worker finished without its segment, or the file doesn't match its announcement.",
        "Check the worker's disk and version, then clone the run.",
    ),
    "CL-1702": ErrorHelp(
        "An uploaded file isn't a valid adapter segment",
        "The file isn't safetensors, its header is malformed, or its SHA-256 differs from the announced one.",
        "Upload it again. If it happens again, install the hub's version of Cutlayer at that site.",
    ),
    "CL-1703": ErrorHelp(
        "The joined adapter failed its load check",
        "A recipient's worker couldn't load the adapter completely, or its values aren't finite.",
        "Don't use this adapter. Correct the problem named in the checks, then clone the run.",
    ),
    "CL-1704": ErrorHelp(
        "The adapter can't be downloaded yet",
        "The download opens once a recipient's worker has loaded the adapter and found every key.",
        "Wait for the load check. The adapter's page shows its progress.",
    ),
    "CL-1705": ErrorHelp(
        "The segments couldn't be joined",
        "Segments overlap, have different configurations, or don't cover all layers.",
        "Install the same version at every site and clone the run.",
    ),
    "CL-1706": ErrorHelp(
        "A tokenizer file doesn't belong to the base model",
        "The manifest's hash differs from the contract's, or the file's SHA-256 differs from the manifest's.",
        "Register the base model at that site again. The adapter works without the tokenizer.",
    ),
    "CL-1707": ErrorHelp(
        "The run has no adapter",
        "It failed, was stopped or was declined before its adapter was joined and checked.",
        "The run's page gives the reason. Resume the run there while its checkpoints are kept, or clone it.",
    ),
}
