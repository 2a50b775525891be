"""What all codec descriptions share: how they round, and how far an evaluation through them may be off."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from splitcore.fields import Strategy

if TYPE_CHECKING:
    from splitcore.codecs.rounding import Rounding


class CodecChoice(Strategy):
    """A number format that a run may choose for what crosses the cut."""

    def rounds(self) -> Rounding:
        """How values are rounded; every codec rounds to the nearest unless it has a field `rounding`."""
        rounding: Rounding = getattr(self, "rounding", "nearest")
        return rounding

    @abstractmethod
    def tolerance(self) -> float:
        """By how much a held-out loss through this format may differ from the unsplit model's."""
