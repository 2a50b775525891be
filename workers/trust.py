"""Which certificates of other workers this site trusts: listed by its operator, or remembered at first use."""

from __future__ import annotations

import json

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from splitcore.errors import AppError
from workers.policy import HEX64
from workers.settings import WorkerHome, write_private


class TrustBook(BaseModel):
    """`trust.json`."""

    model_config = ConfigDict(extra="forbid")

    listed: list[str] = Field(default_factory=list)
    first_use: dict[str, str] = Field(default_factory=dict)  # worker id → fingerprint

    @classmethod
    def load(cls, home: WorkerHome) -> TrustBook:
        """Read the file; an unreadable one is an error, not an empty book. Raises AppError CL-1423."""
        try:
            return cls.model_validate_json(home.trust_file.read_text())
        except FileNotFoundError:
            return cls()
        except (OSError, ValidationError):
            raise AppError("CL-1423", f"{home.trust_file} cannot be read.") from None

    def save(self, home: WorkerHome) -> None:
        """Write the file."""
        write_private(home.trust_file, json.dumps(self.model_dump(), indent=2))

    def add(self, fingerprint: str) -> str:
        """List a fingerprint, given in any grouping of its 64 hex digits. Raises AppError CL-1423."""
        plain = fingerprint.lower().removeprefix("sha256:").replace(" ", "").replace(":", "")
        if not HEX64.fullmatch(plain):
            raise AppError("CL-1423", f"{fingerprint!r} is not a fingerprint.", "Give all 64 hex digits.")
        if plain not in self.listed:
            self.listed.append(plain)
        return plain

    def trusts(self, worker_id: str, fingerprint: str, *, first_use: bool) -> bool:
        """Whether a worker's certificate is trusted; with `first_use`, also one that is seen for the first time."""
        if fingerprint in self.listed:
            return True
        return first_use and self.first_use.get(worker_id, fingerprint) == fingerprint

    def remember(self, worker_id: str, fingerprint: str) -> None:
        """Note what was used, so that another certificate of the same worker is noticed."""
        self.first_use[worker_id] = fingerprint
