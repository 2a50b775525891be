"""Fields of the attack `label_gradient`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice, LeakChannel
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack
    from splitcore.config import RunConfig


class LabelGradient(AttackChoice):
    """Find the next token whose gradient, by the public last layers, points as the one that goes up does."""

    channel: ClassVar[LeakChannel] = LeakChannel.GRADIENT
    name: Literal["label_gradient"] = "label_gradient"
    steps: int = Field(
        50,
        ge=1,
        le=10_000,
        description=(
            "Steps of the solver that takes the gradient back through the tail's decoder layers. Unused where the"
            " tail has none."
        ),
        json_schema_extra=ui(unit="steps", label="Solver steps", level="advanced"),
    )

    follows: bool = Field(
        True,
        description=(
            "Train a copy of the tail in parallel, from the run's public seed and the labels read so far. Off: the tail"
            " stays as it is public, and the attack loses it as its adapter changes."
        ),
        json_schema_extra=ui(label="Follow the tail's training", level="advanced"),
    )

    def refuses(self, config: RunConfig) -> str:
        """See `AttackChoice.refuses`."""
        if config.data.task.classes:
            return "The labels are those of whole rows, and the attack looks for tokens."
        return super().refuses(config)

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.label_gradient.attack import LabelGradientAttack

        return LabelGradientAttack(steps=self.steps, follows=self.follows)
