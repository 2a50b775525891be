"""The form of an entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ErrorHelp:
    """What the help page of a code says."""

    title: str
    cause: str
    remedy: str
