"""Fields of the attack `activation_matching`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class ActivationMatching(AttackChoice):
    """Search for the inputs for which the public first layers give out what crossed."""

    name: Literal["activation_matching"] = "activation_matching"
    draws: ClassVar[bool] = True
    steps: int = Field(
        100,
        ge=1,
        le=5000,
        description="Steps of the search, each a pass forth and back through the first layers.",
        json_schema_extra=ui(label="Steps", level="advanced"),
    )
    learning_rate: float = Field(
        0.2,
        gt=0,
        le=10,
        description="Of AdamW, as a share of the spread of the embeddings. It falls linearly to a twentieth.",
        json_schema_extra=ui(label="Learning rate", level="advanced"),
    )

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.activation_matching.attack import ActivationMatchingAttack

        return ActivationMatchingAttack(self)
