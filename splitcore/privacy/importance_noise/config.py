"""Fields and cost of the defence `importance_noise`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, Place
from splitcore.fields import ui
from splitcore.privacy.cost import NORMAL_SECONDS, cost_of
from splitcore.privacy.law import NoiseDefence, NoiseLaw

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage


class ImportanceNoise(NoiseDefence):
    """Clip each token's vector at the first cut, and add Gaussian noise that is larger the rarer the token is."""

    since: ClassVar[int] = 4
    name: Literal["importance_noise"] = "importance_noise"
    clip: float = Field(
        10.0,
        ge=1e-6,
        le=1e6,
        description="Maximum norm of a token's vector. Longer vectors are scaled down to it.",
        json_schema_extra=ui(label="Clip", level="advanced"),
    )
    noise: float = Field(
        0.1,
        ge=1e-12,
        le=1e3,
        description=(
            "Standard deviation of the noise on each element of the vocabulary's first token, as a share of the clip. "
            "What an attacker can still read is measured, not guaranteed."
        ),
        json_schema_extra=ui(unit="× clip", label="Noise", level="advanced"),
    )
    rarest: float = Field(
        4.0,
        ge=1,
        le=100,
        description=(
            "How many times larger the noise of the vocabulary's last token is. Between them it grows as a power of "
            "the token's place, by which most tokenizers order from common to rare. The size of the noise itself "
            "tells how rare a token is."
        ),
        json_schema_extra=ui(unit="×", label="Rarest", level="advanced"),
    )

    @property
    def deviation(self) -> float:
        """Of the noise in each number, for the first token of the vocabulary."""
        return self.noise * self.clip

    def law(self, width: int) -> NoiseLaw:
        """See `NoiseDefence.law`."""
        return NoiseLaw(self.clip, self.deviation, rarest=self.rarest)

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return f"clipped to {self.clip:g}, noise of {self.deviation:g} to {self.deviation * self.rarest:g} by rarity"

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """See `CutStrategy.cost`."""
        return cost_of(width, NORMAL_SECONDS)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.importance_noise.stage import ImportanceNoiseStage
        from splitcore.privacy.noise import Noise
        from splitcore.privacy.secret import job_secret

        embedding: Any = place.head.model.get_input_embeddings()
        return ImportanceNoiseStage(self, Noise(job_secret(place.folder)), len(embedding.weight))
