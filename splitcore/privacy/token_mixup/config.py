"""Fields and cost of the defence `token_mixup`. Torch-free."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from splitcore.boundary.choice import Cost, CutStrategy, Place
from splitcore.fields import ui

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage

SECONDS = 1.0e-6  # to name a release and draw two numbers of it, on one server core, at a width of 576


class TokenMixup(CutStrategy):
    """Mix each token's vector with that of an earlier token of its row, in secret shares.

    Attack-only: no proof. What is still read is measured.
    """

    since: ClassVar[int] = 4
    name: Literal["token_mixup"] = "token_mixup"
    share: float = Field(
        0.3,
        gt=0,
        le=1,
        description=(
            "Largest share of the other vector. Each token's own is drawn from a secret between 0 and this. More hides "
            "more, but costs quality. The first token has none before it and leaves as it is."
        ),
        json_schema_extra=ui(label="Largest share", level="advanced"),
    )

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return f"mixed by up to {self.share:g} (no proof)"

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """See `CutStrategy.cost`."""
        return Cost(seconds=SECONDS, operations=6.0 * width, memory=2 * 4.0 * width)

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.noise import Noise
        from splitcore.privacy.secret import job_secret
        from splitcore.privacy.token_mixup.stage import TokenMixupStage

        return TokenMixupStage(self, Noise(job_secret(place.folder)))
