"""Fields and cost of the defence `matrix_gaussian`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, Place
from splitcore.boundary.release import Release
from splitcore.fields import ui
from splitcore.privacy.calibration import DELTA, noise_of
from splitcore.privacy.cost import NORMAL_SECONDS, cost_of
from splitcore.privacy.law import NoiseDefence, NoiseLaw

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage


class MatrixGaussian(NoiseDefence):
    """Clip each row's hidden states together to a norm, and add Gaussian noise of a stated (ε, δ) per release."""

    since: ClassVar[int] = 4
    name: Literal["matrix_gaussian"] = "matrix_gaussian"
    clip: float = Field(
        100.0,
        ge=1e-6,
        le=1e6,
        description="Maximum norm of all vectors of a row together. Those of a longer row are all scaled down alike.",
        json_schema_extra=ui(label="Clip", level="advanced"),
    )
    epsilon: float = Field(
        8.0,
        ge=0.01,
        le=1000,
        description=(
            "ε of one release of a row's hidden states, for replacing the row by another one of its length. A trained "
            "head releases each row in every epoch, which adds up. Gradients and labels aren't covered."
        ),
        json_schema_extra=ui(label="Epsilon", level="advanced"),
    )
    delta: float = Field(
        DELTA,
        ge=1e-12,
        le=0.1,
        description="δ of the same. It should be far below one divided by the number of rows.",
        json_schema_extra=ui(label="Delta", level="advanced"),
    )
    noise: float | None = Field(
        None,
        ge=1e-6,
        le=1e3,
        description=(
            "Standard deviation of the noise on each element, as a share of the clip, in place of the one that ε and δ "
            "give. None: as ε and δ give it."
        ),
        json_schema_extra=ui(unit="× clip", label="Noise", level="advanced"),
    )

    @property
    def deviation(self) -> float:
        """Of the noise in each number."""
        return self.clip * (noise_of(self.epsilon, self.delta) if self.noise is None else self.noise)

    def law(self, width: int) -> NoiseLaw:
        """See `NoiseDefence.law`."""
        return NoiseLaw(self.clip, self.deviation, clips="row")

    def release(self, tokens: int) -> Release:
        """See `CutStrategy.release`. All vectors of a row together are within the clip, so two rows are 2C apart."""
        return Release(self.name, 2.0 * self.clip, self.deviation)

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return f"rows clipped to {self.clip:g}, Gaussian noise of {self.deviation:.3g}"

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """See `CutStrategy.cost`."""
        return cost_of(width, NORMAL_SECONDS)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.matrix_gaussian.stage import MatrixGaussianStage
        from splitcore.privacy.noise import Noise
        from splitcore.privacy.secret import job_secret

        return MatrixGaussianStage(self, Noise(job_secret(place.folder)))
