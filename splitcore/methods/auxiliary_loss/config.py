"""Fields and cost of the method `auxiliary_loss`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, CutStrategy, Place
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage
    from splitcore.config import RunConfig


class AuxiliaryLoss(CutStrategy):
    """Predict the targets from the first cut too, with a small head that stays at the data organisation."""

    changes_states: ClassVar[bool] = False
    name: Literal["auxiliary_loss"] = "auxiliary_loss"
    weight: float = Field(
        0.1,
        gt=0,
        le=100,
        description="Factor by which this loss is multiplied before it is added to the task's loss.",
        json_schema_extra=ui(label="Weight", level="advanced"),
    )
    rank: int = Field(
        16,
        ge=1,
        le=4096,
        description="Rank of the small head's matrices. The rest is the existing embedding.",
        json_schema_extra=ui(label="Rank of the auxiliary head", level="advanced"),
    )

    def refuses(self, config: RunConfig) -> str:
        """See `CutStrategy.refuses`."""
        if config.data.task.classes:
            return "methods.auxiliary_loss predicts tokens. Leave it out where the task is sequence."
        for cache in config.caches:
            if cache.spares_rows:
                return f"methods.auxiliary_loss needs the head's output in every step. Turn off {cache.field}."
        return ""

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """Forward and backward through the embedding, whose weights are frozen, and through two small matrices."""
        operations = 2 * 2 * vocabulary * width + 3 * 2 * 2 * self.rank * width
        return Cost(operations=operations, memory=3.0 * 4 * vocabulary, parameters=2 * self.rank * width)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.methods.auxiliary_loss.stage import AuxiliaryLossStage

        return AuxiliaryLossStage(self, place)
