"""The form of an entry of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ErrorRole(StrEnum):
    """What an error with which a part of a run ends means for the run."""

    CAUSE = "cause"  # a trouble of its sender's own, which a new attempt would meet again: the run fails with it
    CONSEQUENCE = "consequence"  # another part is in trouble: gives way to that one's own error, else the run recovers
    RECOVERABLE = "recoverable"  # a trouble of its sender's own that a new attempt may well not meet: the run recovers
    HOLD = "hold"  # every half has saved its state and waits for people: the run is paused


@dataclass(frozen=True)
class ErrorHelp:
    """What the help page of a code says."""

    title: str
    cause: str
    remedy: str
    role: ErrorRole = ErrorRole.CAUSE
