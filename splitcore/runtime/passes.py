"""One way through the body and back: of a party's micro-batch, or of several parties' in one padded batch.

Shapes: B rows, L tokens of the longest row, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import torch
from torch.nn.functional import pad

from splitcore.adapters.dropout import dropout_seed
from splitcore.config import RunConfig
from splitcore.models.carve import Segment
from splitcore.optimise.loss import class_loss_sum, loss_sum
from splitcore.runtime.adapters import Bodies
from splitcore.runtime.interface import MicroBatch


class BodyPass:
    """Micro-batches that go through the body together, in the contract's order; its graph lives until `backward`.

    Several are padded on the right to the longest row. The mask keeps padding out of attention and positions count
    from the left, so each row's own result stays what it is alone, up to the rounding of larger products.
    """

    def __init__(
        self, micro_batches: Sequence[MicroBatch], *, body: Segment, bodies: Bodies, config: RunConfig, micro: int
    ) -> None:
        """Run the forward pass."""
        self.micro_batches, self._bodies = list(micro_batches), bodies
        self._loss_sum = class_loss_sum if config.data.task.classes else loss_sum
        self._sizes = [micro_batch.hidden_BLD.shape[0] for micro_batch in self.micro_batches]
        self._lengths = [micro_batch.hidden_BLD.shape[1] for micro_batch in self.micro_batches]
        self._hidden_BLD = self._together([micro_batch.hidden_BLD for micro_batch in self.micro_batches])
        self._hidden_BLD.requires_grad_(config.lora.train_head)
        mask_BL = self._together([micro_batch.at.mask_BL for micro_batch in self.micro_batches])
        step, names = self.micro_batches[0].at.step, ",".join(self.parties)
        with self._worn(), dropout_seed(config, step, names, micro, "body"):
            self._output = body(mask_BL, hidden_BLD=self._hidden_BLD)

    @property
    def parties(self) -> list[str]:
        """Whose micro-batches they are."""
        return [micro_batch.party for micro_batch in self.micro_batches]

    def outputs(self) -> Iterator[tuple[MicroBatch, torch.Tensor]]:
        """Each micro-batch with what left the body: hidden states BLD, or logits BLV."""
        return zip(self.micro_batches, self._apart(self._output), strict=True)

    def losses(self) -> list[torch.Tensor]:
        """The summed loss of each micro-batch, where the output head is here."""
        return [
            self._loss_sum(logits_BLV, micro_batch.labels_BL)
            for micro_batch, logits_BLV in self.outputs()
            if micro_batch.labels_BL is not None
        ]

    def backward(self, gradients: Sequence[torch.Tensor]) -> None:
        """Go back from the gradient of each micro-batch's output, in their order."""
        with self._worn():
            torch.autograd.backward(self._output, self._together(list(gradients)))

    def backward_from(self, loss: torch.Tensor) -> None:
        """Go back from a loss."""
        with self._worn():
            torch.autograd.backward(loss)

    def input_gradients(self) -> Iterator[tuple[MicroBatch, torch.Tensor]]:
        """Each micro-batch with the gradient of what came in."""
        if self._hidden_BLD.grad is None:
            raise RuntimeError("the body gave no gradient")
        return zip(self.micro_batches, self._apart(self._hidden_BLD.grad), strict=True)

    def _worn(self) -> AbstractContextManager[None]:
        """Going back too, since a layer may be computed again then."""
        return self._bodies.worn(self.parties, self._sizes, max(self._lengths))

    def _together(self, parts: list[torch.Tensor]) -> torch.Tensor:
        if len(parts) == 1:
            return parts[0]
        longest = max(self._lengths)
        return torch.cat([_lengthened(part, longest - part.shape[1]) for part in parts])

    def _apart(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        if len(self.micro_batches) == 1:
            return [tensor]
        return [part[:, :length] for part, length in zip(tensor.split(self._sizes), self._lengths, strict=True)]


def _lengthened(tensor: torch.Tensor, more: int) -> torch.Tensor:
    """(B, L) or (B, L, D) with `more` zeros on the right of L."""
    return pad(tensor, (0, 0, 0, more) if tensor.dim() == 3 else (0, more)) if more else tensor
