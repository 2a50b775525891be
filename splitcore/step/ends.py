"""What a data party computes for a micro-batch: the first layers and, in the u_shape, the last ones and the loss.

Shapes: B rows of a micro-batch, L tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from splitcore.adapters.dropout import dropout_seed
from splitcore.boundary.boundary import Boundary
from splitcore.boundary.stages import At
from splitcore.config import RunConfig
from splitcore.control.clock import Clock
from splitcore.data.batches import Batch
from splitcore.models.carve import Segment, hidden_width
from splitcore.optimise.loss import batch_loss_sum
from splitcore.wire.protocol.messages import Phase


@dataclass(frozen=True)
class HeadPass:
    """A forward pass of the head: the output that may leave, with its graph, and the losses added by the stages."""

    output_BLD: torch.Tensor
    losses: list[torch.Tensor]
    at: At


class Ends:
    """Head and tail of one party."""

    def __init__(
        self,
        *,
        config: RunConfig,
        party: str,
        segments: tuple[Segment, Segment | None],
        boundary: Boundary,
        clock: Clock,
        normaliser: Callable[[int], int],
    ) -> None:
        """`normaliser`: step → the number by which losses are divided; the call may block."""
        self._config, self._party, self._boundary, self._clock = config, party, boundary, clock
        self._head, self._tail = segments
        self._normaliser = normaliser
        self.trains_head = config.lora.train_head

    @property
    def has_tail(self) -> bool:
        """Whether this party has the last layers."""
        return self._tail is not None

    def receiver(self, phase: Phase) -> Segment:
        """The segment that processes what comes back from the server."""
        return self._tail if phase is Phase.BODY_DOWN and self._tail is not None else self._head

    def head(self, batch: Batch, at: At) -> HeadPass:
        """From tokens to hidden states, protected and ready to leave."""
        with (
            self._clock.stage("head_forward"),
            dropout_seed(self._config, at.step, self._party, at.micro, "head"),
        ):
            hidden_BLD = self.head_states(batch, self._boundary.needed(at))
            here = replace(at, ids_BL=batch.ids_BL)
            leaving_BLD = self._boundary.protect(hidden_BLD, Phase.HEAD_UP, here)
            return HeadPass(leaving_BLD, self._boundary.losses(leaving_BLD, batch.labels_BL, here), at)

    def head_states(self, batch: Batch, needed: list[bool] | None = None) -> torch.Tensor:
        """The head's output (B, L, D). Of a head that is not trained row by row, zeros where it is not `needed`.

        A row computed alone has the same bits in any batch, so it can be kept for the next epoch.
        """
        if self.trains_head:
            return self._head(batch.mask_BL, ids_BL=batch.ids_BL)
        width = hidden_width(self._head.model.config)
        hidden_BLD = torch.zeros(*batch.mask_BL.shape, width, device=self._head.device, dtype=self._head.dtype)
        with torch.no_grad():
            for row, mask_L in enumerate(batch.mask_BL):
                real_L = mask_L.bool()
                if needed is None or needed[row]:
                    ids_1L = batch.ids_BL[row : row + 1, real_L]
                    hidden_BLD[row, real_L] = self._head(torch.ones_like(ids_1L), ids_BL=ids_1L)[0]
        return hidden_BLD

    def tail(self, batch: Batch, at: At, hidden_BLD: torch.Tensor) -> tuple[float, torch.Tensor]:
        """Last layers forward, loss and backward: the summed loss, and the gradient (B, L, D) of the input."""
        tokens = self._normaliser(at.step)
        with self._clock.stage("tail"):
            received_BLD = hidden_BLD.requires_grad_()
            with dropout_seed(self._config, at.step, self._party, at.micro, "tail"):
                logits_BLV = self.logits(batch, received_BLD)
            summed = batch_loss_sum(logits_BLV, batch)
            torch.autograd.backward(summed / tokens)
            loss = self._boundary.finite.number(summed.item(), "loss")
        if received_BLD.grad is None:
            raise RuntimeError("the tail gave no gradient")
        return loss, self._boundary.protect(received_BLD.grad, Phase.TAIL_UP, at)

    def logits(self, batch: Batch, hidden_BLD: torch.Tensor) -> torch.Tensor:
        """The last layers' scores (B, L, V), or of a classifier's labels (B, L, K)."""
        if self._tail is None:
            raise RuntimeError("the last layers are the server's")
        return self._tail(batch.mask_BL, hidden_BLD=hidden_BLD)

    def head_backward(self, head: HeadPass, gradient_BLD: torch.Tensor | None) -> None:
        """Backward pass of the head, from the received gradient (if any) and the stages' losses."""
        tensors: list[torch.Tensor] = []
        gradients: list[torch.Tensor | None] = []
        if gradient_BLD is not None and head.output_BLD.requires_grad:
            tensors, gradients = [head.output_BLD], [gradient_BLD]
        with self._clock.stage("head_backward"):
            for loss in head.losses:
                tensors.append(loss / self._normaliser(head.at.step))
                gradients.append(None)
            if tensors:
                torch.autograd.backward(tensors, gradients)
