"""Which certificates of other workers this site trusts, and for what: listed by its operator, or pinned when first met.

A site is asked about the workers that it exchanges tensors with, and about no others. A data site talks to the compute
worker alone; the certificates of other data organisations never open a connection of its own, so it neither pins nor
refuses them. A compute site lets every data worker of the contract in.

Ids of workers and organisations, names and roles are the hub's word. So what a person lists is a bare fingerprint with
one purpose: a worker that may train at this site's compute half may not compute on this site's rows. And first use is
for compute sites alone: no contract opens a way for rows before somebody at this site has listed the compute worker.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from splitcore.errors import AppError
from workers.books import SiteBook
from workers.policy import HEX64

# listed: by the operator; pinned: those, and what was met before; first_use: those, and what is met first
Mode = Literal["listed", "pinned", "first_use"]
Purpose = Literal["compute", "data"]  # compute: gets this site's activations; data: trains at this site's compute half


class TrustBook(SiteBook):
    """`trust.json`."""

    FILE: ClassVar[str] = "trust.json"
    CODE: ClassVar[str] = "CL-1423"

    version: Literal[2] = 2
    compute: list[str] = Field(default_factory=list)
    data: list[str] = Field(default_factory=list)
    refused: list[str] = Field(default_factory=list)  # trusted once, then revoked: no first use lets it in again
    first_use: dict[str, str] = Field(default_factory=dict)  # a compute site's: data worker's id → fingerprint

    @model_validator(mode="before")
    @classmethod
    def _from_version_1(cls, content: Any) -> Any:
        """An older file's `listed` named no purpose: it lets workers in, and gets no rows before it is listed again.

        Its `compute` were pinned on the hub's word; they are forgotten.
        """
        if not isinstance(content, dict) or "listed" not in content:
            return content
        return {"data": content.get("listed", []), "first_use": content.get("first_use", {})}

    @property
    def listed(self) -> frozenset[str]:
        """Every fingerprint that a person has listed, for whatever purpose."""
        return frozenset((*self.compute, *self.data))

    def add(self, fingerprint: str, purpose: Purpose) -> str:
        """List a fingerprint for a purpose. Raises AppError CL-1423."""
        plain, kept = plain_fingerprint(fingerprint), self._of(purpose)
        if plain not in kept:
            kept.append(plain)
        self.refused = [one for one in self.refused if one != plain]
        return plain

    def remove(self, fingerprint: str) -> str:
        """Trust a certificate no longer, for any purpose. Raises AppError CL-1423."""
        plain = plain_fingerprint(fingerprint)
        self.compute = [one for one in self.compute if one != plain]
        self.data = [one for one in self.data if one != plain]
        self.refused = [*(one for one in self.refused if one != plain), plain]
        return plain

    def trusts_compute(self, fingerprint: str) -> bool:
        """Whether a data site sends tensors to the holder of this certificate."""
        return fingerprint in self.compute

    def trusts_data(self, worker_id: str, fingerprint: str, mode: Mode) -> bool:
        """Whether a compute site lets the holder of this certificate in."""
        if fingerprint in (*self.data, *self.refused):
            return fingerprint in self.data
        known = self.first_use.get(worker_id)
        return (mode != "listed" and known == fingerprint) or (mode == "first_use" and known is None)

    def remember_data(self, worker_id: str, fingerprint: str) -> None:
        """Note a data worker, so that another certificate of the same worker is noticed."""
        if fingerprint not in self.data:
            self.first_use[worker_id] = fingerprint

    def _of(self, purpose: Purpose) -> list[str]:
        return self.compute if purpose == "compute" else self.data


def plain_fingerprint(text: str) -> str:
    """The 64 hex digits of a fingerprint in any grouping. Raises AppError CL-1423."""
    plain = text.lower().removeprefix("sha256:").replace(" ", "").replace(":", "")
    if not HEX64.fullmatch(plain):
        raise AppError("CL-1423", f"{text[:200]!r} isn't a fingerprint.", "Enter all 64 hex digits.")
    return plain
