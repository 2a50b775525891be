"""What a method or a defence at the data party's side of the cut tells of itself. Torch-free, but for `build`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from splitcore.fields import Strategy

if TYPE_CHECKING:
    from splitcore.boundary.stages import ClientStage
    from splitcore.config import RunConfig
    from splitcore.flow import Flow
    from splitcore.models.carve import Segment


@dataclass(frozen=True)
class Cost:
    """What it adds at a data party, per token of a step."""

    operations: float = 0.0  # floating-point operations
    seconds: float = 0.0  # beside them, whatever the processor
    memory: float = 0.0  # bytes of what is held from forward to backward
    parameters: int = 0  # trained numbers of its own, in all


@dataclass(frozen=True)
class Place:
    """Where it is built: a party's half, once the head is loaded."""

    config: RunConfig
    party: str
    head: Segment
    width: int  # of hidden states
    folder: Path  # the half's own, which outlives the process


class CutStrategy(Strategy):
    """A method or a defence, built into the client half's boundary."""

    def words(self) -> str:
        """What it does to what crosses, for a contract; empty where that stays as it is."""
        return ""

    def refuses(self, config: RunConfig) -> str:
        """Why it does not go with the rest of a configuration, in a sentence; empty where it does."""
        return ""

    def flows(self) -> Iterable[Flow]:
        """What it sends of its own."""
        return ()

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """What it costs with hidden states of this width."""
        return Cost()

    @abstractmethod
    def build(self, place: Place) -> ClientStage:
        """What computes it; imports torch."""
