"""Contracts that this site has approved itself (`approve: local` in policy.yaml), by their hash."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from splitcore.errors import AppError
from workers.books import SiteBook
from workers.policy import HEX64


class SiteApproval(BaseModel):
    """When and where a person of this site approved."""

    model_config = ConfigDict(extra="forbid")

    at: datetime
    by: Literal["command", "console"]


class ApprovalBook(SiteBook):
    """`approvals.json`. An approval holds for its hash through recoveries, re-rings and restarts."""

    FILE: ClassVar[str] = "approvals.json"
    CODE: ClassVar[str] = "CL-1427"

    approved: dict[str, SiteApproval] = Field(default_factory=dict)

    def add(self, contract_hash: str, *, by: Literal["command", "console"]) -> str:
        """Approve a contract by all 64 digits of its hash. Raises AppError CL-1427."""
        plain = contract_hash.strip().lower()
        if not HEX64.fullmatch(plain):
            raise AppError("CL-1427", f"{contract_hash[:80]!r} isn't a contract hash.")
        self.approved.setdefault(plain, SiteApproval(at=datetime.now(UTC), by=by))
        return plain

    def remove(self, contract_hash: str) -> str:
        """Take an approval back, by all 64 digits. Raises AppError CL-1427, where there is none too."""
        plain = contract_hash.strip().lower()
        if self.approved.pop(plain, None) is None:
            raise AppError("CL-1427", f"This site has approved no contract {contract_hash[:80]!r}.")
        return plain
