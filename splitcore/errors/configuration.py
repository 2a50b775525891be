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
}
