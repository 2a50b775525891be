"""The defence `gaussian` at a data party's side of the cut (torch). Shapes: B rows, L tokens, D hidden."""

from __future__ import annotations

import torch

from splitcore.boundary.stages import At
from splitcore.privacy.clipping import clipped_tokens
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.noise import Noise
from splitcore.privacy.stage import NoiseStage


class GaussianStage(NoiseStage):
    """h ← h · min(1, C / ‖h‖) for each token, then h + N(0, (noise · C)²)."""

    def __init__(self, choice: Gaussian, noise: Noise) -> None:
        super().__init__(noise)
        self._choice = choice

    def clipped(self, tensor_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """See `NoiseStage.clipped`."""
        return clipped_tokens(tensor_BLD, mask_BL, self._choice.clip)

    def size(self, at: At) -> float:
        """See `NoiseStage.size`."""
        return self._choice.deviation
