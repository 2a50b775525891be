"""The defence `matrix_gaussian` at a data party's side of the cut (torch). Shapes: B rows, L tokens, D hidden."""

from __future__ import annotations

import torch

from splitcore.boundary.stages import At
from splitcore.privacy.clipping import clipped_rows
from splitcore.privacy.matrix_gaussian.config import MatrixGaussian
from splitcore.privacy.noise import Noise
from splitcore.privacy.stage import NoiseStage


class MatrixGaussianStage(NoiseStage):
    """H ← H · min(1, C / ‖H‖) for each row, ‖H‖ its Frobenius norm, then H + N(0, σ²) in each number."""

    def __init__(self, choice: MatrixGaussian, noise: Noise) -> None:
        super().__init__(noise)
        self._clip, self._deviation = choice.clip, choice.deviation

    def clipped(self, tensor_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """See `NoiseStage.clipped`."""
        return clipped_rows(tensor_BLD, mask_BL, self._clip)

    def size(self, at: At) -> float:
        """See `NoiseStage.size`."""
        return self._deviation
