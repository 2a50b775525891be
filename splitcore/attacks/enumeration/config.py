"""Fields of the attack `enumeration`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class Enumeration(AttackChoice):
    """Read a row from left to right: try every likely next token, and keep those that explain the vector best."""

    draws: ClassVar[bool] = True

    name: Literal["enumeration"] = "enumeration"
    beam: int = Field(
        4,
        ge=1,
        le=64,
        description="Prefixes kept for each row. Under noise, later vectors can correct an earlier token.",
        json_schema_extra=ui(unit="prefixes", label="Beam", level="advanced"),
    )
    candidates: int = Field(
        2000,
        ge=1,
        le=1_000_000,
        description=(
            "Tokens tried at most for each prefix, the likeliest first. A smaller vocabulary is tried whole. Most "
            "vectors need far fewer, since the search stops when no other token can be likelier."
        ),
        json_schema_extra=ui(unit="tokens", label="Candidates", level="advanced"),
    )

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.enumeration.attack import EnumerationAttack

        return EnumerationAttack(self.beam, self.candidates)
