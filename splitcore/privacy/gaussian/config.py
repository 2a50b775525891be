"""Fields and cost of the defence `gaussian`. Torch-free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, Place
from splitcore.boundary.release import Release
from splitcore.fields import ui
from splitcore.privacy.cost import NORMAL_SECONDS, cost_of
from splitcore.privacy.law import NoiseDefence, NoiseLaw

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage


class Gaussian(NoiseDefence):
    """Clip each token's vector at the first cut to a norm, and add Gaussian noise."""

    name: Literal["gaussian"] = "gaussian"
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
            "Standard deviation of the noise on each element of the vector, as a share of the clip. In a vector"
            " of 576 elements, 0.1 amounts to 2.4 times the clip. More noise hides more, but costs quality. What an "
            "attacker can still read is measured, not guaranteed."
        ),
        json_schema_extra=ui(unit="× clip", label="Noise", level="advanced"),
    )

    @property
    def deviation(self) -> float:
        """Of the noise in each number."""
        return self.noise * self.clip

    def law(self, width: int) -> NoiseLaw:
        """See `NoiseDefence.law`."""
        return NoiseLaw(self.clip, self.deviation)

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return f"clipped to norm {self.clip:g}, Gaussian noise of {self.deviation:g}"

    def release(self, tokens: int) -> Release:
        """See `CutStrategy.release`. Each token's vector is within the clip, so two rows are 2C√tokens apart."""
        return Release(self.name, 2.0 * self.clip * math.sqrt(tokens), self.deviation)

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """See `CutStrategy.cost`."""
        return cost_of(width, NORMAL_SECONDS)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.gaussian.stage import GaussianStage
        from splitcore.privacy.noise import Noise
        from splitcore.privacy.secret import job_secret

        return GaussianStage(self, Noise(job_secret(place.folder)))
