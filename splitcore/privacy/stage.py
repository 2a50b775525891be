"""What all defences with noise do at a data party's side of the cut (torch): clip, then add noise from the secret.

Shapes: B rows, L tokens, D hidden.
"""

from __future__ import annotations

from abc import abstractmethod

import torch

from splitcore.boundary.stages import At, ClientStage
from splitcore.privacy.draws import row_draws
from splitcore.privacy.noise import Noise
from splitcore.wire.protocol.messages import Phase


class NoiseStage(ClientStage):
    """h ← clipped(h) + noise. The gradient goes back through the clip."""

    def __init__(self, noise: Noise) -> None:
        self._noise = noise

    @abstractmethod
    def clipped(self, tensor_BLD: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """Of bounded norm, in fp32, and zeros at padding."""

    @abstractmethod
    def size(self, at: At) -> float | torch.Tensor:
        """By what the drawn noise is multiplied: a number, or one for each token (B, L, 1)."""

    def drawn(self, release: bytes, tokens: int, width: int) -> torch.Tensor:
        """The noise (tokens, width) of one release, before its size. The first tokens' do not depend on how many."""
        return self._noise.normal(release, tokens * width).reshape(tokens, width)

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """See `ClientStage.protect`. Padding leaves as pure noise, since its vectors reveal parts of their row."""
        if phase is not Phase.HEAD_UP:
            return tensor_BLD
        clipped_BLD = self.clipped(tensor_BLD, at.mask_BL)
        return (clipped_BLD + self._noise_of(clipped_BLD.detach(), at).to(clipped_BLD)).to(tensor_BLD)

    def _noise_of(self, clipped_BLD: torch.Tensor, at: At) -> torch.Tensor:
        """Each row's noise, derived from the row's vectors and its position, so that equal rows look different."""
        noise_BLD = torch.zeros(clipped_BLD.shape)
        _, tokens, width = clipped_BLD.shape
        for draw in row_draws(clipped_BLD, at):
            drawn_LD, length = self.drawn(draw.name, tokens, width), int(draw.real_L.sum())
            noise_BLD[draw.place, draw.real_L], noise_BLD[draw.place, ~draw.real_L] = (
                drawn_LD[:length],
                drawn_LD[length:],
            )
        return noise_BLD.mul_(self.size(at))
