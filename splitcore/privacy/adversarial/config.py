"""Fields and cost of the defence `adversarial`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, CutStrategy, Place
from splitcore.fields import ui
from splitcore.privacy.training import needs_trained_head

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage
    from splitcore.config import RunConfig


class Adversarial(CutStrategy):
    """Train a reader of what leaves, and the head against it.

    Attack-only: no proof. It learns to fool its own reader; others, trained afterwards, may read as much as before.
    """

    changes_states: ClassVar[bool] = False
    since: ClassVar[int] = 4
    name: Literal["adversarial"] = "adversarial"
    weight: float = Field(
        0.1,
        gt=0,
        le=1e3,
        description=(
            "Factor of the reader's mean loss, which the head is trained to raise, beside the task's mean loss. More "
            "hides more from this reader, but costs quality."
        ),
        json_schema_extra=ui(label="Weight", level="advanced"),
    )
    rank: int = Field(
        128,
        ge=1,
        le=8192,
        description="Width of the reader's hidden layer.",
        json_schema_extra=ui(label="Width of the reader", level="advanced"),
    )
    tokens: int = Field(
        256,
        ge=8,
        le=4096,
        description="Tokens of a micro-batch, at most, that the reader reads in training.",
        json_schema_extra=ui(unit="tokens", label="Tokens read", level="advanced"),
    )

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return "trained against a reader (no proof)"

    def refuses(self, config: RunConfig) -> str:
        """See `CutStrategy.refuses`."""
        return needs_trained_head("privacy.defences.adversarial", config)

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """The reader forward and backward, whose output layer is the frozen embedding; as if it read every token."""
        operations = 2 * 2 * vocabulary * width + 3 * 2 * 2 * self.rank * width
        return Cost(operations=operations, memory=3.0 * 4 * vocabulary, parameters=2 * self.rank * width)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.adversarial.stage import AdversarialStage

        return AdversarialStage(self, place)
