"""Fields and cost of the defence `nopeek`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, CutStrategy, Place
from splitcore.fields import ui
from splitcore.privacy.training import needs_trained_head

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage
    from splitcore.config import RunConfig


class NoPeek(CutStrategy):
    """Train the head so that distances between vectors that leave tell less of distances between their tokens.

    Attack-only: no proof. What is still read is measured.
    """

    changes_states: ClassVar[bool] = False
    since: ClassVar[int] = 4
    name: Literal["nopeek"] = "nopeek"
    weight: float = Field(
        1.0,
        gt=0,
        le=1e4,
        description=(
            "Factor of the distance correlation between tokens and vectors, which lies between 0 and 1, beside the"
            " task's mean loss. More hides more, but costs quality."
        ),
        json_schema_extra=ui(label="Weight", level="advanced"),
    )
    tokens: int = Field(
        256,
        ge=8,
        le=4096,
        description="Tokens of a micro-batch, at most, whose pairs are compared. Time and memory grow with the square.",
        json_schema_extra=ui(unit="tokens", label="Tokens compared", level="advanced"),
    )

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return "trained by distance correlation (no proof)"

    def refuses(self, config: RunConfig) -> str:
        """See `CutStrategy.refuses`."""
        return needs_trained_head("privacy.defences.nopeek", config)

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """Distances of each compared token to the others, twice, with their gradient."""
        return Cost(operations=3.0 * 2 * 2 * self.tokens * width, memory=8.0 * 4 * self.tokens)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.nopeek.stage import NoPeekStage

        return NoPeekStage(self, place)
