"""CL-10xx. The run configuration."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1001": ErrorHelp(
        "The configuration is not valid",
        "A field of the run configuration is missing, unknown or outside its bounds.",
        "Correct the named field; the message says what it accepts.",
    ),
    "CL-1002": ErrorHelp(
        "The cut lies outside the model",
        "Head and tail layers together leave no layer for the body, or exceed the model's layers.",
        "Choose fewer head or tail layers: at least one layer must remain for the compute organisation.",
    ),
    "CL-1003": ErrorHelp(
        "The run's parties are not complete",
        "A run needs at least one dataset of a data organisation and exactly one compute worker, all of the project.",
        "Choose the missing party, or a worker and a dataset that its organisation offers to this project.",
    ),
    "CL-1004": ErrorHelp(
        "The chosen datasets do not fit together",
        "The data organisations' datasets have different formats, so they cannot be trained on in one run.",
        "Choose datasets of the same format, or register one of them again with another column mapping.",
    ),
    "CL-1005": ErrorHelp(
        "The chosen workers hold no common base model",
        "Each worker of a run must have registered the same base model, with the same manifest.",
        "Run `cutlayer worker model add` with the same model and revision on each worker, then choose it again.",
    ),
    "CL-1006": ErrorHelp(
        "A party of the run is not available",
        "An organisation left the project, a dataset was withdrawn or is no longer offered, or a worker is not active.",
        "Choose another party in its place, or ask its organisation to make it available again; then submit again.",
    ),
    "CL-1010": ErrorHelp(
        "A file of rows was not understood",
        "`--data` wants NAME=FILE, each name once: small letters, digits and hyphens, and a file that can be read.",
        "For example: --data clinic=clinic.jsonl --data bank=bank.csv",
    ),
    "CL-1011": ErrorHelp(
        "The output folder is taken",
        "It holds the adapter or the checkpoints of an earlier training, which is not overwritten.",
        "Give another folder with --out, or go on from its checkpoints with --resume.",
    ),
    "CL-1012": ErrorHelp(
        "There is nothing to resume",
        "The output folder holds no checkpoint that all halves have.",
        "Start without --resume, or name the folder of the interrupted training with --out.",
    ),
}
