"""The last layers as the observer has them: public at first, then trained as the party trains its own (torch).

The adapter's first weights follow from the run's public seed. The party trains it on what came down, on the labels, the
loss normaliser and the norm of the whole gradient: all known to an observer who has read the labels.

Shapes: B rows of a micro-batch, L tokens, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from splitcore.adapters.dropout import dropout_seed
from splitcore.adapters.lora import adapter_parameters, initialise, place
from splitcore.attacks.interface import UNKNOWN
from splitcore.attacks.label_gradient.output_head import OutputHead
from splitcore.attacks.label_gradient.solving import behind
from splitcore.attacks.transcript import Transcript
from splitcore.data.tokenise import IGNORED
from splitcore.models.loading import load_segment
from splitcore.models.plan import SegmentPlan
from splitcore.optimise.loss import loss_sum
from splitcore.optimise.optimiser import Optimiser
from splitcore.optimise.update import update
from splitcore.run.plan import RunPlan

TOKENS = 64  # compared with the whole vocabulary at once
COUNTED = 0.5  # of the gradient that a token has if the loss counts it


@dataclass(frozen=True)
class Received:
    """One micro-batch at the party's tail: what came down and the gradient that went up, zeros at padding."""

    step: int
    micro: int
    mask_BL: torch.Tensor
    hidden_BLD: torch.Tensor
    gradient_BLD: torch.Tensor


class ObservedTail:
    """Decoder layers, if any, and output head, in fp32 whatever the run computes in."""

    def __init__(self, plan: RunPlan, transcript: Transcript, *, steps: int, follows: bool) -> None:
        """`steps`: of the solver, at most. `follows`: whether it is trained too. Raises AppError CL-1108."""
        self._party, self._steps, self._told = transcript.party, steps, transcript.told
        self._config = plan.settings.config.for_party(self._party)
        model, cut = self._config.model.model_copy(update={"dtype": "float32"}), plan.plans["tail"]
        bare = SegmentPlan("tail", cut.total, cut.total, cut.total, embedding=False, output=True)
        self._output = load_segment(plan.folder, bare, model)
        self._head, self._layers = OutputHead(self._output), None
        if cut.start < cut.total:
            inner = SegmentPlan("body", cut.start, cut.total, cut.total, embedding=False, output=False)
            self._layers = load_segment(plan.folder, inner, model)
        self._parameters = dict[str, torch.nn.Parameter]()
        if self._layers is not None and follows:
            place(self._layers.model, plan.layout(self._config.lora), self._config.lora)
            initialise(self._layers.model, self._config.training.seed)
            self._parameters = dict(adapter_parameters(self._layers.model))
        self._optimiser = Optimiser(self._parameters, self._config.training, transcript.steps)

    def read(self, received: Received) -> tuple[torch.Tensor, torch.Tensor]:
        """What each position predicts (B, L), UNKNOWN without a gradient; and whether the loss seems to count it."""
        entering_BLD, gradient_BLD = received.hidden_BLD, received.gradient_BLD
        if self._layers is not None:
            with self._dropout(received):
                entering_BLD, gradient_BLD = behind(
                    self._layers, received.mask_BL, entering_BLD, gradient_BLD, self._steps
                )
        real_BL = received.mask_BL.bool() & gradient_BLD.any(-1)
        found = [
            _best(*self._head.compared(entering_TD, gradient_TD))
            for entering_TD, gradient_TD in zip(
                entering_BLD[real_BL].split(TOKENS), gradient_BLD[real_BL].split(TOKENS), strict=True
            )
        ]
        token_BL, times_BL = torch.full(real_BL.shape, UNKNOWN), torch.zeros(real_BL.shape, dtype=torch.float64)
        if found:
            token_BL[real_BL], times_BL[real_BL] = (torch.cat(parts) for parts in zip(*found, strict=True))
        told = self._told.get(received.step)
        return token_BL, times_BL * (0 if told is None else told.tokens) > COUNTED

    def train(self, step: int, found: Sequence[tuple[Received, torch.Tensor]]) -> None:
        """The party's own step on these micro-batches with these predicted tokens (B, L), IGNORED where not counted."""
        told = self._told.get(step)
        if self._layers is None or not self._parameters or told is None or told.norm is None:
            return
        for received, predicted_BL in found:
            labels_BL = torch.full_like(predicted_BL, IGNORED)
            labels_BL[:, 1:] = predicted_BL[:, :-1]
            with self._dropout(received):
                entering_BLD = self._layers(received.mask_BL, hidden_BLD=received.hidden_BLD)
            logits_BLV = self._output(received.mask_BL, hidden_BLD=entering_BLD)
            torch.autograd.backward(loss_sum(logits_BLV, labels_BL) / told.tokens)
        update(
            self._parameters,
            {name: parameter.grad for name, parameter in self._parameters.items()},
            torch.tensor(told.norm, dtype=torch.float32),
            optimiser=self._optimiser,
            step=step,
            clip_norm=self._config.training.clip_norm,
        )

    def _dropout(self, received: Received) -> AbstractContextManager[None]:
        """The party's own draw, which follows from the run's seed."""
        return dropout_seed(self._config, received.step, self._party, received.micro, "tail")


def _best(cosine_TV: torch.Tensor, times_TV: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    token_T = cosine_TV.argmax(1)
    return token_T, times_TV.gather(1, token_T.unsqueeze(1)).squeeze(1)
