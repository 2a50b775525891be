"""Which certificates of other workers this site trusts: listed by its operator, or remembered at first use.

A site is asked about the workers that it exchanges tensors with, and about no others. A data site talks to the compute
worker alone; the certificates of other data organisations never open a connection of its own, so it neither pins nor
refuses them. A compute site lets every data worker of the contract in.

Ids of workers and organisations, names and roles are the hub's word. So a data site's pins are bare fingerprints, and
first use is over with the first of them: whatever the hub calls the next compute worker, a person has to trust it.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from splitcore.errors import AppError
from workers.books import SiteBook
from workers.policy import HEX64

# listed: by the operator; pinned: those, and what was used before; first_use: those, and the first one ever
Mode = Literal["listed", "pinned", "first_use"]


class TrustBook(SiteBook):
    """`trust.json`."""

    FILE: ClassVar[str] = "trust.json"
    CODE: ClassVar[str] = "CL-1423"

    listed: list[str] = Field(default_factory=list)
    compute: list[str] = Field(default_factory=list)  # a data site's: the compute worker that was used first
    first_use: dict[str, str] = Field(default_factory=dict)  # a compute site's: data worker's id → fingerprint

    @property
    def is_untouched(self) -> bool:
        """Whether this site has neither pinned nor listed anything, so that first use is still to come.

        Earlier releases wrote every participant into `first_use`, compute workers too. Who was what is not known
        any more, so such entries end first use and open nothing.
        """
        return not (self.listed or self.compute or self.first_use)

    def add(self, fingerprint: str) -> str:
        """List a fingerprint, given in any grouping of its 64 hex digits. Raises AppError CL-1423."""
        plain = fingerprint.lower().removeprefix("sha256:").replace(" ", "").replace(":", "")
        if not HEX64.fullmatch(plain):
            raise AppError("CL-1423", f"{fingerprint!r} is not a fingerprint.", "Give all 64 hex digits.")
        if plain not in self.listed:
            self.listed.append(plain)
        return plain

    def trusts_compute(self, fingerprint: str, mode: Mode) -> bool:
        """Whether a data site sends tensors to the holder of this certificate."""
        if fingerprint in self.listed or (mode != "listed" and fingerprint in self.compute):
            return True
        return mode == "first_use" and self.is_untouched

    def trusts_data(self, worker_id: str, fingerprint: str, mode: Mode) -> bool:
        """Whether a compute site lets the holder of this certificate in."""
        if fingerprint in self.listed:
            return True
        known = self.first_use.get(worker_id)
        return (mode != "listed" and known == fingerprint) or (mode == "first_use" and known is None)

    def remember_compute(self, fingerprint: str) -> None:
        """Note the compute worker that a job was let in with; the first one closes first use."""
        if fingerprint not in (*self.listed, *self.compute):
            self.compute.append(fingerprint)

    def remember_data(self, worker_id: str, fingerprint: str) -> None:
        """Note a data worker, so that another certificate of the same worker is noticed."""
        if fingerprint not in self.listed:
            self.first_use[worker_id] = fingerprint
