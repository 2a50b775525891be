"""What a way to spare what has crossed of a row before tells of itself. Torch-free, but for `build`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from splitcore.wire.protocol.messages import Phase

if TYPE_CHECKING:
    from splitcore.boundary.coding import Coding, Format
    from splitcore.boundary.finite import Finite
    from splitcore.config import RunConfig
    from splitcore.flow import Flow


@dataclass(frozen=True)
class CachePlace:
    """Where it is built: one phase at one end of a party's conversation."""

    format: Format  # of the phase, for what crosses in full
    finite: Finite
    width: int  # of hidden states
    limit: int  # bytes
    folder: Path | None  # for values on disk
    holds: bool  # whether what is kept for the other end lies here


class CacheChoice(ABC):
    """What one field of the configuration asks for: from a row's second visit on, less of it crosses.

    Where two of them take a phase, the one that comes later in the registry has it.
    """

    name: ClassVar[str]  # of its folder and its page
    field: ClassVar[str]  # section.name
    phases: ClassVar[tuple[Phase, ...]]  # in which it codes what crosses
    spares_rows: ClassVar[bool] = False  # whether nothing of a row goes up any more but its number

    @classmethod
    @abstractmethod
    def asked(cls, config: RunConfig) -> Self | None:
        """What the configuration asks for; None where it doesn't."""

    def refuses(self, config: RunConfig) -> str:
        """Why it does not go with the rest of a configuration, in a sentence; empty where it does."""
        return ""

    def flows(self, phase: Phase) -> Iterable[Flow]:
        """What it sends of its own in one of its phases."""
        return ()

    def form(self) -> str:
        """What it does to the form of activations, after that of the first visit; empty where that stays."""
        return ""

    @abstractmethod
    def later(self, full: float, bytes_as: Callable[[str], float]) -> float:
        """Bytes of a batch at a later visit, for the planner. `bytes_as`: those of it in a codec."""

    @abstractmethod
    def saving(self) -> str:
        """The same in words."""

    @abstractmethod
    def build(self, place: CachePlace) -> Coding:
        """What codes one phase at one end; imports torch."""
