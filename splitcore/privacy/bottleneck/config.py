"""Fields and cost of the defence `bottleneck`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, CutStrategy, Place
from splitcore.fields import ui
from splitcore.privacy.cost import NORMAL_SECONDS
from splitcore.privacy.training import needs_trained_head

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage
    from splitcore.config import RunConfig


class Bottleneck(CutStrategy):
    """Send each vector through a learned noisy channel, and make what it tells cost.

    Attack-only: no proof. The channel is there in training alone: the released adapter is without it, and its loss is
    another than the run's.
    """

    since: ClassVar[int] = 4
    name: Literal["bottleneck"] = "bottleneck"
    weight: float = Field(
        0.1,
        gt=0,
        le=1e4,
        description=(
            "Factor of the information that a number of a vector tells (the divergence of its law from a standard"
            " normal one, in nats, as a mean), beside the task's mean loss. More hides more, but costs quality."
        ),
        json_schema_extra=ui(label="Weight", level="advanced"),
    )
    noise: float = Field(
        0.1,
        gt=0,
        le=10,
        description="Noise of each number at the start, in deviations of that number. It is learned from there.",
        json_schema_extra=ui(unit="deviations", label="Noise at the start", level="advanced"),
    )
    rank: int = Field(
        16,
        ge=1,
        le=4096,
        description="Rank of the channel's matrices.",
        json_schema_extra=ui(label="Rank of the channel", level="advanced"),
    )

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return "learned noisy channel (no proof)"

    def refuses(self, config: RunConfig) -> str:
        """See `CutStrategy.refuses`."""
        return needs_trained_head("privacy.defences.bottleneck", config)

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """Three small matrices forward and backward, and the noise."""
        parameters = (3 * self.rank + 2) * width
        return Cost(3.0 * 2 * parameters, NORMAL_SECONDS * width, memory=6.0 * 4 * width, parameters=parameters)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.bottleneck.stage import BottleneckStage
        from splitcore.privacy.noise import Noise
        from splitcore.privacy.secret import job_secret

        return BottleneckStage(self, place, Noise(job_secret(place.folder)))
