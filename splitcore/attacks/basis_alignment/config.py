"""Fields of the attack `basis_alignment`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice, Need
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class BasisAlignment(AttackChoice):
    """Find a secret rotation or permutation of the hidden states without any known row, and undo it."""

    name: Literal["basis_alignment"] = "basis_alignment"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.AUXILIARY})
    draws: ClassVar[bool] = True
    rounds: int = Field(
        20,
        ge=1,
        le=1000,
        description="How often, at most, the rows are read and the rotation is fitted again to what was read.",
        json_schema_extra=ui(unit="rounds", label="Rounds", level="advanced"),
    )

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.basis_alignment.attack import BasisAlignmentAttack

        return BasisAlignmentAttack(self.rounds)
