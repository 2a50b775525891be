"""CL-10xx. The run configuration."""

from __future__ import annotations

from splitcore.errors.base import ErrorHelp

HELP: dict[str, ErrorHelp] = {
    "CL-1001": ErrorHelp(
        "The configuration isn't valid",
        "A field of the run configuration is missing, unknown or outside its bounds.",
        "Correct the named field. The message lists the accepted values.",
    ),
    "CL-1002": ErrorHelp(
        "The cut is outside the model",
        "Head and tail layers together leave no layer for the body, or exceed the number of layers in the model.",
        "Choose fewer head or tail layers. At least one layer must remain for the compute organisation.",
    ),
    "CL-1003": ErrorHelp(
        "The run's parties are incomplete",
        "A run needs at least one data organisation's dataset and exactly one compute worker, all from its project.",
        "Choose the missing party, or a worker and a dataset that are offered to this project.",
    ),
    "CL-1004": ErrorHelp(
        "The chosen datasets have different formats",
        "Datasets with different formats can't be used in one run.",
        "Choose datasets with the same format, or register one of them again with a different column mapping.",
    ),
    "CL-1005": ErrorHelp(
        "The chosen workers have no base model in common",
        "Every worker in a run needs the same base model with the same manifest.",
        "On each worker, run `cutlayer worker model add` with the same model and revision. Then choose it again.",
    ),
    "CL-1006": ErrorHelp(
        "A party of the run is unavailable",
        "An organisation left the project, a dataset was withdrawn or is no longer offered, or a worker isn't active.",
        "Choose another party, or ask its organisation to make it available again. Then resubmit.",
    ),
    "CL-1008": ErrorHelp(
        "The configuration needs a newer version",
        "It uses features added after this version, so its schema is unknown here.",
        "Update Cutlayer to the version that wrote the configuration. The message names the schemas.",
    ),
    "CL-1010": ErrorHelp(
        "The --data option isn't valid",
        "`--data` expects NAME=FILE, each name once, with lower-case letters, digits and hyphens, and a readable file.",
        "For example: --data clinic=clinic.jsonl --data bank=bank.csv",
    ),
    "CL-1011": ErrorHelp(
        "The output folder is in use",
        "It contains the adapter or checkpoints of an earlier training run, which are never overwritten.",
        "Choose another folder with --out, or continue from its checkpoints with --resume.",
    ),
    "CL-1012": ErrorHelp(
        "There is nothing to resume",
        "The output folder has no checkpoint that all halves share.",
        "Start without --resume, or point --out at the folder of the interrupted training run.",
    ),
}
