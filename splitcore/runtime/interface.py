"""What the server's step asks of whatever computes the body: forward, backward, step, state.

Shapes: B rows, L tokens of the longest row, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from splitcore.boundary.stages import At

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class MicroBatch:
    """A party's micro-batch as it came over the first cut; labels in the vanilla topology alone."""

    party: str
    hidden_BLD: torch.Tensor
    at: At
    labels_BL: torch.Tensor | None = None


class Pass(Protocol):
    """One way through the body; what it needs to go back is held until it has."""

    @property
    def parties(self) -> list[str]:
        """Whose micro-batches they are, in the contract's order."""
        ...

    def outputs(self) -> Iterator[tuple[MicroBatch, torch.Tensor]]:
        """Each micro-batch with what left the body: hidden states BLD, or logits BLV."""
        ...

    def losses(self) -> list[torch.Tensor]:
        """The summed loss of each micro-batch, where the output head is here."""
        ...

    def backward(self, gradients: Sequence[torch.Tensor]) -> None:
        """Go back from the gradient of each micro-batch's output, in their order."""
        ...

    def backward_from(self, loss: torch.Tensor) -> None:
        """Go back from a loss."""
        ...

    def input_gradients(self) -> Iterator[tuple[MicroBatch, torch.Tensor]]:
        """Each micro-batch with the gradient of what came in."""
        ...


class Runtime(Protocol):
    """The body with its adapters: one for all parties, or one for each."""

    @property
    def device(self) -> torch.device:
        """Where hidden states go in."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The number format of hidden states there."""
        ...

    @property
    def has_output(self) -> bool:
        """Whether the last layers, and so the loss, are here."""
        ...

    @property
    def own(self) -> bool:
        """Whether each party trains a body adapter of its own."""
        ...

    def forward(self, micro_batches: Sequence[MicroBatch], micro: int) -> Pass:
        """Compute micro-batches of the same number together, in the contract's order."""
        ...

    def score(self, micro_batch: MicroBatch) -> torch.Tensor:
        """The output of one micro-batch in an evaluation: without dropout, and with no way back."""
        ...

    def take_gradients(self, party: str) -> Iterator[tuple[str, torch.Tensor]]:
        """Names and gradients that the last way back gave the adapter that `party` trains; they are gone then."""
        ...

    def step(self, party: str, gradients: Tensors, norm: torch.Tensor, step: int) -> float:
        """Clip by the whole model's norm and step the adapter that `party` trains; returns the learning rate."""
        ...

    def skip(self, party: str, step: int) -> float:
        """Drop the gradients of a step that is applied nowhere; returns the learning rate that it would have had."""
        ...

    def average(self, weights: Mapping[str, float]) -> None:
        """Replace every party's adapter by the weighted mean of all, in the contract's order."""
        ...

    def state(self) -> Tensors:
        """What a checkpoint needs of the adapters beside the first one."""
        ...

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        ...
