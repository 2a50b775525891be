"""The description of a method or defence at the data party's side of the cut. Torch-free, except for `build`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from splitcore.boundary.release import Release
from splitcore.fields import Strategy

if TYPE_CHECKING:
    from torch import nn

    from splitcore.boundary.stages import ClientStage
    from splitcore.config import RunConfig
    from splitcore.flow import Flow
    from splitcore.models.carve import Segment


@dataclass(frozen=True)
class Cost:
    """What it adds at a data party, per token of a step."""

    operations: float = 0.0  # floating-point operations
    seconds: float = 0.0  # seconds on top, on any processor
    memory: float = 0.0  # bytes of what is held from forward to backward
    parameters: int = 0  # its own trained parameters, in total


@dataclass(frozen=True)
class Place:
    """The context for `build`: a party's half, once the head is loaded."""

    config: RunConfig
    party: str
    head: Segment
    width: int  # of hidden states
    folder: Path  # the half's own, which outlives the process


class CutStrategy(Strategy):
    """A method or a defence, built into the client half's boundary."""

    since: ClassVar[int] = 2  # the schema of a configuration that first knew it, see splitcore/config/written.py
    needs_own_ends: ClassVar[bool] = False  # it can't be, where several parties exchange head and tail
    changes_states: ClassVar[bool] = True  # False: what leaves is what the head gave, it acts through training alone
    adds_noise: ClassVar[bool] = False  # to what crosses

    def words(self) -> str:
        """Its effect on what crosses, in words for a contract; empty if there is none."""
        return ""

    def refuses(self, config: RunConfig) -> str:
        """Why it conflicts with the rest of a configuration, as a sentence; empty if it doesn't."""
        return ""

    def flows(self) -> Iterable[Flow]:
        """The flows it adds."""
        return ()

    def release(self, tokens: int) -> Release | None:
        """The law of what it makes leave of a row of so many tokens; None where no noise bounds what that tells."""
        return None

    def cost(self, *, width: int, vocabulary: int) -> Cost:
        """Its cost with hidden states of this width."""
        return Cost()

    def start(self, place: Place, adapter: Mapping[str, nn.Parameter]) -> None:
        """Change the first weights of the party's own adapter, by canonical name. Imports torch."""

    @abstractmethod
    def build(self, place: Place) -> ClientStage:
        """What computes it; imports torch."""
