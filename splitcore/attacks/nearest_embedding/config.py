"""Fields of the attack `nearest_embedding`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from splitcore.attacks.choice import AttackChoice
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.attacks.interface import Attack


class NearestEmbedding(AttackChoice):
    """Take each vector for the token whose embedding lies nearest."""

    name: Literal["nearest_embedding"] = "nearest_embedding"
    distance: Literal["cosine", "euclidean"] = Field(
        "cosine",
        description="The distance measure. Layers make vectors longer, so after them the angle is more informative.",
        json_schema_extra=ui(label="Distance", level="advanced"),
    )

    def build(self) -> Attack:
        """See `AttackChoice.build`."""
        from splitcore.attacks.nearest_embedding.attack import NearestEmbeddingAttack

        return NearestEmbeddingAttack(self.distance)
