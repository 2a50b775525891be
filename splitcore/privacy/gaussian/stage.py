"""The defence `gaussian` at a data party's side of the cut (torch). Shapes: B rows, L tokens, D hidden."""

from __future__ import annotations

import torch

from splitcore.boundary.stages import At, ClientStage
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.noise import Noise
from splitcore.wire.protocol.messages import Phase


def clipped(tensor_BLD: torch.Tensor, mask_BL: torch.Tensor, clip: float) -> torch.Tensor:
    """h · min(1, C / ‖h‖) for each token, in fp32, and zeros at padding."""
    exact_BLD = tensor_BLD.float()  # rounded once, at the end, whatever the head computes in
    norm_BL1 = torch.linalg.vector_norm(exact_BLD, dim=-1, keepdim=True)
    real_BL1 = mask_BL.to(tensor_BLD.device).bool().unsqueeze(-1)
    factor_BL1 = (clip / norm_BL1.clamp_min(1e-12)).clamp_max(1.0)
    return torch.where(real_BL1, exact_BLD * factor_BL1, 0.0)


class GaussianStage(ClientStage):
    """h ← h · min(1, C / ‖h‖) for each token, then h + N(0, (noise · C)²). The gradient goes back through the clip."""

    def __init__(self, choice: Gaussian, noise: Noise) -> None:
        self._choice, self._noise = choice, noise

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """See `ClientStage.protect`. Padding leaves as pure noise, since its vectors reveal parts of their row."""
        if phase is not Phase.HEAD_UP:
            return tensor_BLD
        clipped_BLD = clipped(tensor_BLD, at.mask_BL, self._choice.clip)
        return (clipped_BLD + self._noise_of(clipped_BLD.detach(), at).to(clipped_BLD)).to(tensor_BLD)

    def _noise_of(self, clipped_BLD: torch.Tensor, at: At) -> torch.Tensor:
        """Each row's noise, derived from the row's vectors and its position, so that equal rows look different."""
        noise_BLD = torch.zeros(clipped_BLD.shape)
        for row, (values_LD, length) in enumerate(zip(clipped_BLD.cpu().float(), at.lengths(), strict=True)):
            real_LD = at.mask_BL[row].cpu().bool()
            release = values_LD[real_LD].contiguous()
            if not release.any():
                continue  # a frozen head's row that the server has cached: it was not computed, and is not sent
            place = f"row {at.rows[row]}" if at.rows is not None else f"held out {at.micro}.{row}"
            drawn = self._noise.normal(place.encode() + b"\0" + release.numpy().tobytes(), values_LD.numel())
            drawn_LD = drawn.reshape(values_LD.shape)
            noise_BLD[row, real_LD], noise_BLD[row, ~real_LD] = drawn_LD[:length], drawn_LD[length:]
        return noise_BLD.mul_(self._choice.deviation)
