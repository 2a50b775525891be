"""The defence `importance_noise` at a data party's side of the cut (torch).

Shapes: B rows, L tokens, D hidden, V vocabulary.
"""

from __future__ import annotations

import math

import torch

from splitcore.boundary.stages import At
from splitcore.privacy.clipping import clipped_tokens
from splitcore.privacy.importance_noise.config import ImportanceNoise
from splitcore.privacy.noise import Noise
from splitcore.privacy.stage import NoiseStage


def factors(vocabulary: int, rarest: float) -> torch.Tensor:
    """By what the noise of each token is multiplied (V,): 1 / importance.

    Importance is a power of how often a token occurs, and that falls as 1/place (Zipf) where a vocabulary is ordered
    by it. The power is such that the last token has the factor `rarest`.
    """
    place_V = torch.arange(1, vocabulary + 1, dtype=torch.float64)
    return (place_V ** (math.log(rarest) / math.log(max(vocabulary, 2)))).float()


class ImportanceNoiseStage(NoiseStage):
    """h ← h · min(1, C / ‖h‖), then h + N(0, (noise · C · factor)²) for each token."""

    def __init__(self, choice: ImportanceNoise, noise: Noise, vocabulary: int) -> None:
        super().__init__(noise)
        self._choice, self._factor_V = choice, factors(vocabulary, choice.rarest)

    def clipped(self, tensor_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """See `NoiseStage.clipped`."""
        return clipped_tokens(tensor_BLD, mask_BL, self._choice.clip)

    def size(self, at: At) -> torch.Tensor:
        """See `NoiseStage.size`. Padding has the first token's, whatever stands there."""
        assert at.ids_BL is not None  # where a data party protects
        factor_BL = torch.where(at.mask_BL.cpu().bool(), self._factor_V[at.ids_BL.cpu()], 1.0)
        return self._choice.deviation * factor_BL.unsqueeze(-1)
