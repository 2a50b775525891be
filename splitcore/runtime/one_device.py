"""The body on one device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from splitcore.adapters.lora import without_dropout
from splitcore.config import RunConfig
from splitcore.models.carve import Segment
from splitcore.optimise.optimiser import Optimiser
from splitcore.optimise.update import update
from splitcore.runtime.adapters import Bodies
from splitcore.runtime.interface import MicroBatch, Pass, Tensors
from splitcore.runtime.passes import BodyPass


class OneDevice:
    """A `Runtime`; see there."""

    def __init__(
        self,
        body: Segment,
        parameters: Mapping[str, nn.Parameter],
        optimiser: Optimiser,
        parties: Sequence[str],
        *,
        own: bool,
        config: RunConfig,
    ) -> None:
        """`parameters`: the body's, for all parties; where each has its `own`, the first's, copied for the others."""
        self._body, self._config = body, config
        self._adapters = Bodies(body, parameters, optimiser, parties, own=own)
        self.device, self.dtype, self.has_output, self.own = body.device, body.dtype, body.plan.output, own

    def forward(self, micro_batches: Sequence[MicroBatch], micro: int) -> Pass:
        """See `Runtime.forward`."""
        return BodyPass(micro_batches, body=self._body, bodies=self._adapters, config=self._config, micro=micro)

    def score(self, micro_batch: MicroBatch) -> torch.Tensor:
        """See `Runtime.score`."""
        with torch.no_grad(), without_dropout(self._body.model), self._adapters.worn([micro_batch.party]):
            return self._body(micro_batch.at.mask_BL, hidden_BLD=micro_batch.hidden_BLD)

    def take_gradients(self, party: str) -> Iterator[tuple[str, torch.Tensor]]:
        """See `Runtime.take_gradients`."""
        return self._adapters.of(party).take_gradients()

    def step(self, party: str, gradients: Tensors, norm: torch.Tensor, step: int) -> float:
        """See `Runtime.step`."""
        adapter, clip_norm = self._adapters.of(party), self._config.training.clip_norm
        return update(adapter.parameters, gradients, norm, optimiser=adapter.optimiser, step=step, clip_norm=clip_norm)

    def skip(self, party: str, step: int) -> float:
        """See `Runtime.skip`."""
        return self._adapters.of(party).optimiser.skip(step)

    def average(self, weights: Mapping[str, float]) -> None:
        """See `Runtime.average`."""
        self._adapters.average(weights)

    def state(self) -> Tensors:
        """See `Runtime.state`."""
        return self._adapters.state()

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """See `Runtime.restore`."""
        self._adapters.restore(state)
