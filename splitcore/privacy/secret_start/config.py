"""The defence `secret_start`. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from splitcore.boundary.choice import CutStrategy, Place

if TYPE_CHECKING:
    from torch import nn

    from splitcore.boundary.stages import ClientStage


class SecretStart(CutStrategy):
    """Draw the first weights of the head's and tail's adapters from a secret, not from the run's public seed.

    It makes it harder to follow the tail's training. Most labels can still be read from gradients; no proof.
    """

    needs_own_ends: ClassVar[bool] = True

    changes_states: ClassVar[bool] = False
    since: ClassVar[int] = 4
    name: Literal["secret_start"] = "secret_start"

    def words(self) -> str:
        """See `CutStrategy.words`."""
        return "end adapters started from a secret"

    def start(self, place: Place, adapter: Mapping[str, nn.Parameter]) -> None:
        """See `CutStrategy.start`."""
        from splitcore.privacy.secret import job_secret
        from splitcore.privacy.secret_start.stage import draw_weights

        draw_weights(adapter, job_secret(place.folder))

    def build(self, place: Place) -> ClientStage:
        """See `CutStrategy.build`."""
        from splitcore.privacy.secret_start.stage import SecretStartStage

        return SecretStartStage()
