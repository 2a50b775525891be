"""The scopes of API tokens."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """What a token may be used for; a token never allows more than its owner's role does."""

    READ = "read"
    RUNS_WRITE = "runs:write"
    RUNS_CONTROL = "runs:control"
    ADAPTERS_DOWNLOAD = "adapters:download"
    ADMIN = "admin"

    @property
    def help(self) -> str:
        """The scope and what it allows, for the form."""
        return f"{self.value}: {_HELP[self]}"


_HELP = {
    Scope.READ: "read everything that you can see",
    Scope.RUNS_WRITE: "create projects, configure and submit runs",
    Scope.RUNS_CONTROL: "approve, start, pause and stop runs",
    Scope.ADAPTERS_DOWNLOAD: "download adapters",
    Scope.ADMIN: "invite people and partners, manage tokens and workers, read the audit log",
}
