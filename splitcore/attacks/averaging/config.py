"""Fields of the attack `averaging`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice, Need
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack
    from splitcore.config import RunConfig


class Averaging(AttackChoice):
    """Average what crossed of each row over the epochs, and then attack the means."""

    needs: ClassVar[frozenset[Need]] = frozenset({Need.AUXILIARY})
    draws: ClassVar[bool] = True
    name: Literal["averaging"] = "averaging"
    kind: Literal["linear", "mlp", "gru"] = Field(
        "linear",
        description="Which learned inverter reads the means. It learns from means of the observer's own releases.",
        json_schema_extra=ui(label="Kind", level="advanced"),
    )

    def refuses(self, config: RunConfig) -> str:
        """See `AttackChoice.refuses`."""
        if not any(one.adds_noise for one in config.privacy.defences):
            return "No defence adds noise, so that nothing averages out."
        return super().refuses(config)

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.averaging.attack import AveragingAttack
        from splitcore.attacks.learned_inverter.config import LearnedInverter

        return AveragingAttack(LearnedInverter(kind=self.kind).build())
