"""The defence `dchi` at a data party's side of the cut (torch). Shapes: B rows, L tokens, D hidden."""

from __future__ import annotations

import torch

from splitcore.boundary.stages import At
from splitcore.privacy.clipping import clipped_tokens
from splitcore.privacy.dchi.config import Dchi
from splitcore.privacy.noise import Noise
from splitcore.privacy.stage import NoiseStage


class DchiStage(NoiseStage):
    """h ← h · min(1, C / ‖h‖), then h + r·u for each token: u uniform on the sphere, r ~ Gamma(D, 1/η)."""

    def __init__(self, choice: Dchi, noise: Noise) -> None:
        super().__init__(noise)
        self._choice = choice

    def clipped(self, tensor_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """See `NoiseStage.clipped`."""
        return clipped_tokens(tensor_BLD, mask_BL, self._choice.clip)

    def drawn(self, release: bytes, tokens: int, width: int) -> torch.Tensor:
        """See `NoiseStage.drawn`: a direction and a length of its own for each token."""
        direction_LD = super().drawn(release, tokens, width)
        length_L1 = self._noise.gamma(release, tokens, shape=width).unsqueeze(1)
        return direction_LD * (length_L1 / torch.linalg.vector_norm(direction_LD, dim=1, keepdim=True))

    def size(self, at: At) -> float:
        """See `NoiseStage.size`."""
        return 1 / self._choice.eta
