"""Fields of the attack `learned_inverter`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice, Need
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class LearnedInverter(AttackChoice):
    """Learn from text of the observer's own, released as the party releases its rows, which token a vector is of."""

    name: Literal["learned_inverter"] = "learned_inverter"
    needs: ClassVar[frozenset[Need]] = frozenset({Need.AUXILIARY})
    draws: ClassVar[bool] = True
    kind: Literal["linear", "mlp", "gru"] = Field(
        "gru",
        description=(
            "What is learnt. linear is computed in closed form. mlp and gru start from it. gru also reads the tokens on"
            " both sides."
        ),
        json_schema_extra=ui(label="Kind"),
    )
    releases: int = Field(
        3,
        ge=1,
        le=64,
        description="Times that the observer's text is released, each with new noise. Without noise, once is enough.",
        json_schema_extra=ui(label="Releases", level="advanced"),
    )
    epochs: int = Field(
        12,
        ge=1,
        le=200,
        description="Passes over the text at most. Training ends earlier when held-out rows are no longer read better.",
        json_schema_extra=ui(label="Epochs", level="advanced"),
    )
    learning_rate: float = Field(
        2e-3,
        gt=0,
        le=1,
        description="Of Adam, for mlp and gru.",
        json_schema_extra=ui(label="Learning rate", level="advanced"),
    )

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.learned_inverter.attack import LearnedInverterAttack

        return LearnedInverterAttack(self)
