"""The parameters of methods and defences at a data party: trained alongside the adapter, never released.

They belong to this party alone: their gradient is clipped by its own norm and isn't part of the global one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from splitcore.boundary.stages import ClientStage
from splitcore.config import TrainingSection
from splitcore.optimise.norms import norms_vector, scale, total_norm
from splitcore.optimise.optimiser import SEPARATOR, Optimiser
from splitcore.optimise.update import update

_OF = "own."


class OwnParameters:
    """Those of all stages of a boundary."""

    def __init__(self, stages: Sequence[ClientStage], training: TrainingSection, total: int) -> None:
        self._training = training
        self._parameters: dict[str, nn.Parameter] = {
            f"{place}.{name}": parameter
            for place, stage in enumerate(stages)
            for name, parameter in stage.parameters().items()
        }
        self._optimiser = Optimiser(self._parameters, training, total)

    def scale(self, factor: float) -> None:
        """Turn the gradients into the mean over this party's own tokens: nobody shares these parameters."""
        if factor != 1.0:
            scale([parameter.grad for parameter in self._parameters.values()], torch.tensor(factor))

    def apply(self, step: int) -> None:
        """Step with this step's gradients; a gradient that isn't finite is dropped."""
        if not self._parameters:
            return
        gradients = {name: parameter.grad for name, parameter in self._parameters.items()}
        norms = norms_vector(gradients, self._parameters)
        if not bool(torch.isfinite(norms).all()):
            self.skip(step)
            return
        norm, clip_norm = total_norm(norms), self._training.clip_norm
        update(self._parameters, gradients, norm, optimiser=self._optimiser, step=step, clip_norm=clip_norm)

    def skip(self, step: int) -> None:
        """Drop the gradients of a step that is applied nowhere."""
        self._optimiser.skip(step)

    def state(self) -> dict[str, torch.Tensor]:
        """Weights and moments."""
        weights = {name: parameter.detach() for name, parameter in self._parameters.items()}
        return {f"{_OF}{name}": value for name, value in (weights | self._optimiser.state()).items()}

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Restore what `state` returned."""
        own = {name.removeprefix(_OF): value for name, value in state.items() if name.startswith(_OF)}
        with torch.no_grad():
            for name, parameter in self._parameters.items():
                parameter.copy_(own[name])
        self._optimiser.restore({name: value for name, value in own.items() if SEPARATOR in name})
