"""The defence `token_mixup` at a data party's side of the cut (torch). Shapes: B rows, L tokens, D hidden."""

from __future__ import annotations

import torch

from splitcore.boundary.stages import At, ClientStage
from splitcore.privacy.draws import row_draws
from splitcore.privacy.noise import Noise
from splitcore.privacy.token_mixup.config import TokenMixup
from splitcore.wire.protocol.messages import Phase


class TokenMixupStage(ClientStage):
    """h_i ← (1 − a_i) h_i + a_i h_j with j < i, so no vector tells of a later token. The gradient follows."""

    def __init__(self, choice: TokenMixup, noise: Noise) -> None:
        self._choice, self._noise = choice, noise

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """See `ClientStage.protect`."""
        if phase is not Phase.HEAD_UP:
            return tensor_BLD
        share_BL, other_BL = (drawn_BL.to(tensor_BLD.device) for drawn_BL in self._drawn(tensor_BLD, at))
        other_BLD = tensor_BLD.float().gather(1, other_BL.unsqueeze(-1).expand_as(tensor_BLD))
        return torch.lerp(tensor_BLD.float(), other_BLD, share_BL.unsqueeze(-1)).to(tensor_BLD)

    def _drawn(self, tensor_BLD: torch.Tensor, at: At) -> tuple[torch.Tensor, torch.Tensor]:
        """The share of the other vector, and its place, of each token (B, L)."""
        length = tensor_BLD.shape[1]
        share_BL, other_BL = torch.zeros(tensor_BLD.shape[:2]), torch.arange(length).repeat(len(tensor_BLD), 1)
        before_L = torch.arange(length)  # tokens before each
        for draw in row_draws(tensor_BLD, at):
            drawn_L2 = torch.from_numpy(self._noise.uniform(b"token mixup\0", draw.name, 2 * length)).view(-1, 2)
            share_BL[draw.place, 1:] = self._choice.share * drawn_L2[1:, 0].float()
            place_L = (drawn_L2[:, 1] * before_L).long()
            other_BL[draw.place, 1:] = torch.minimum(place_L, before_L - 1)[1:]
        return share_BL, other_BL
