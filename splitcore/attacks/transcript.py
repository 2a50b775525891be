"""What crossed the cut, as an observer at the compute party holds it (torch). Shapes: N tokens of a row, D hidden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Crossing:
    """All that crossed of one row in one step. Rows of evaluations have no gradients."""

    step: int
    micro: int
    place: int  # in the micro-batch
    evaluation: bool
    hidden_ND: torch.Tensor
    output_ND: torch.Tensor | None = None
    gradient_ND: torch.Tensor | None = None
    returned_ND: torch.Tensor | None = None  # the gradient of h, down
    row: int | None = None  # its number, where it is told


@dataclass(frozen=True)
class Upload:
    """A party's adapter tensors of one step, by name."""

    step: int
    is_gradient: bool
    tensors: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Told:
    """What the halves told each other of a step: its loss normaliser, and the norm of the whole gradient.

    The norm is None where the step was applied nowhere, or the recording ends before it.
    """

    tokens: int
    norm: float | None = None


@dataclass(frozen=True)
class Transcript:
    """One party's conversation. Crossings are in the order in which they went up.

    steps: of the run. told: step → what was told of it.
    """

    party: str
    crossings: Sequence[Crossing]
    uploads: Sequence[Upload] = ()
    steps: int = 0
    told: Mapping[int, Told] = field(default_factory=dict)
