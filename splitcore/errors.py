"""The numbered errors of Cutlayer: every message that a person may meet, with its cause and its remedy.

One catalogue for the library, the workers and the hub; each code has a help page at `/errors/<code>`.
Ranges: 10xx configuration, 11xx model and adapter, 12xx data, 13xx wire, 14xx worker and enrolment,
15xx run life, 16xx accounts and permissions, 17xx artefacts, 18xx resources, 19xx the hub itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ErrorHelp:
    """What the help page of a code says."""

    title: str
    cause: str
    remedy: str


CATALOGUE: dict[str, ErrorHelp] = {
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
    "CL-1101": ErrorHelp(
        "The model cannot be split",
        "The architecture has no list of decoder layers that can be cut, or failed the admission test.",
        "Choose a decoder whose type is listed in docs/models.md.",
    ),
    "CL-1999": ErrorHelp(
        "Something unexpected happened",
        "The program met a condition that it has no code for.",
        "Look into the worker's local log; the class of the error and the line are there.",
    ),
}


class AppError(Exception):
    """An error that is meant to be read: a code, what happened, and what to do.

    `message` and `remedy` default to the catalogue's text. `details` is JSON-able and never holds data of a row.
    """

    def __init__(
        self, code: str, message: str | None = None, remedy: str | None = None, *, details: dict[str, Any] | None = None
    ) -> None:
        help_ = CATALOGUE[code]
        self.code = code
        self.message = message or help_.title
        self.remedy = remedy or help_.remedy
        self.details = details or {}
        super().__init__(f"{code}: {self.message} {self.remedy}")

    def to_dict(self) -> dict[str, Any]:
        """The form in which every API, event and command prints an error."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy, "details": self.details}
