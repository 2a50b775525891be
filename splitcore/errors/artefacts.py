"""CL-17xx. Segments and adapters."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1701": ErrorHelp(
        "A segment of the adapter is missing or wrong",
        "A worker finished without its segment, or the file is not what was announced.",
        "Check the worker's disk and version, then clone the run.",
    ),
    "CL-1702": ErrorHelp(
        "An uploaded file is not a valid adapter segment",
        "The file is not safetensors, its header is malformed, or its SHA-256 differs from the announced one.",
        "Upload again; if it happens again, install the same version at that site.",
    ),
    "CL-1703": ErrorHelp(
        "The joined adapter failed its load check",
        "A recipient's worker could not load the adapter completely, or its values are not finite.",
        "Do not use this adapter. The checks name what is wrong; clone the run after correcting it.",
    ),
    "CL-1704": ErrorHelp(
        "The adapter cannot be downloaded yet",
        "A download is offered once a recipient's worker has loaded the adapter and found every key.",
        "Wait for the load check; the adapter's page shows how far it is.",
    ),
    "CL-1705": ErrorHelp(
        "The segments could not be joined",
        "Two segments overlap, disagree in their configuration, or leave out layers.",
        "Install the same version at every site and clone the run.",
    ),
    "CL-1706": ErrorHelp(
        "A tokenizer file is not the base model's",
        "The manifest's hash is not the contract's, or the file's SHA-256 is not the one that the manifest pins.",
        "Register the base model at that site again. The adapter is whole without its tokenizer.",
    ),
}
