"""Fields and cost of the defence `dchi`. Torch-free."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, Place
from splitcore.fields import ui
from splitcore.privacy.cost import RADIAL_SECONDS, cost_of
from splitcore.privacy.law import NoiseDefence, NoiseLaw

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage


class Dchi(NoiseDefence):
    """Clip each token's vector at the first cut, and add noise of any direction, whose guarantee is one of distances.

    Two vectors at distance d give any output with probabilities that differ by a factor of exp(η·d) at most.
    """

    since: ClassVar[int] = 4
    name: Literal["dchi"] = "dchi"
    clip: float = Field(
        10.0,
        ge=1e-6,
        le=1e6,
        description="Maximum norm of a token's vector. Longer vectors are scaled down to it.",
        json_schema_extra=ui(label="Clip", level="advanced"),
    )
    eta: float = Field(
        50.0,
        ge=1e-6,
        le=1e6,
        description=(
            "η: how fast long noise becomes unlikely. Its mean length is the width of the vectors divided by η, so 50 "
            "amounts to 11.5 at a width of 576. Less hides more, but costs quality. It isn't an ε, and can't be "
            "compared with one."
        ),
        json_schema_extra=ui(unit="per unit of distance", label="Eta", level="advanced"),
    )

    def law(self, width: int) -> NoiseLaw:
        """See `NoiseDefence.law`. The mean square of the length is width · (width + 1) / η²."""
        return NoiseLaw(self.clip, math.sqrt(width + 1) / self.eta, is_radial=True)

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return f"clipped to norm {self.clip:g}, dχ noise of rate {self.eta:g}"

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """See `CutStrategy.cost`."""
        return cost_of(width, RADIAL_SECONDS)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.dchi.stage import DchiStage
        from splitcore.privacy.noise import Noise
        from splitcore.privacy.secret import job_secret

        return DchiStage(self, Noise(job_secret(place.folder)))
