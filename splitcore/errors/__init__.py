"""The numbered errors of Cutlayer: every message that a person may meet, with its cause and its remedy.

One catalogue for the library, the workers and the hub; each code has a help page at `/errors/<code>`.
Ranges: 10xx configuration, 11xx model and adapter, 12xx data, 13xx wire, 14xx worker and enrolment,
15xx run life, 16xx accounts and permissions, 17xx artefacts, 18xx resources, 19xx the hub itself.
"""

from __future__ import annotations

from typing import Any

from splitcore.errors import (
    accounting,
    accounts,
    artefacts,
    configuration,
    data,
    hub,
    leakage,
    models,
    resources,
    runs,
    wire,
    workers,
)
from splitcore.errors.base import ErrorHelp, ErrorRole

__all__ = ["CATALOGUE", "AppError", "ErrorHelp", "ErrorRole", "role_of"]

_PARTS = (configuration, models, data, wire, workers, runs, leakage, accounting, accounts, artefacts, resources, hub)
CATALOGUE: dict[str, ErrorHelp] = {code: help_ for part in _PARTS for code, help_ in part.HELP.items()}


def role_of(code: str) -> ErrorRole:
    """What the code means for a run. One that this version does not have, as of a newer worker, is a cause."""
    help_ = CATALOGUE.get(code)
    return help_.role if help_ is not None else ErrorRole.CAUSE


def _stop(sentence: str) -> str:
    """A full stop where the sentence has none."""
    return "" if sentence.endswith((".", "!", "?", ":")) else "."


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
        super().__init__(f"{code}: {self.message}{_stop(self.message)} {self.remedy}")

    def to_dict(self) -> dict[str, Any]:
        """The form in which every API, event and command prints an error."""
        return {"code": self.code, "message": self.message, "remedy": self.remedy, "details": self.details}
