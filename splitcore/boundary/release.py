"""What a release is, by the law of its noise, whose releases a row reaches, and who is told of both. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


@dataclass(frozen=True)
class Release:
    """One row's tensor, noised once, before it leaves. Neighbours differ by one row of the same length in tokens."""

    mechanism: str  # the name of the defence
    sensitivity: float  # the largest distance between the tensors of two neighbours, before the noise
    deviation: float  # of the Gaussian noise in each number

    @property
    def squared(self) -> float:
        """(sensitivity/σ)², by which Gaussian releases add up; infinite where the noise is next to none."""
        try:
            return (self.sensitivity / self.deviation) ** 2
        except ArithmeticError:
            return math.inf


class Reach(StrEnum):
    """In whose releases a row shows."""

    OWN = "own"  # a head that nothing trains: in those of the row itself
    RUN = "run"  # a head that the row trains: in all that the party sends in the run
    OTHERS = "others"  # a head that several organisations train: in theirs too, which this site can't count


@dataclass(frozen=True)
class Sending:
    """A row of which a release is about to leave."""

    row: int | None  # its number among the party's rows, held-out ones after the others; None: a public prompt's
    squared: float
    digest: bytes  # of the noised values: the same ones sent again tell nothing more


@dataclass(frozen=True)
class Plan:
    """What a run is going to release."""

    mechanism: str  # "": no noise of a known law, so that nothing bounds it
    reach: Reach
    sendings: Mapping[int, tuple[int, float]]  # row → how often, and the square of each
    prompts: float = 0.0  # the squares of public prompts' releases, at most: rows that train the head show in them too


class Accountant(Protocol):
    """Whoever keeps the ledger of a party's rows. Both calls return once it is on disk, and come before the bytes."""

    def begin(self, plan: Plan) -> None:
        """A run is about to release. Raises AppError CL-1570 where the plan goes beyond the budget."""
        ...

    def charge(self, sendings: Sequence[Sending]) -> None:
        """These are about to leave. Raises AppError CL-1570 beyond the budget, CL-1820 where nothing can be written."""
        ...
