"""The defence `bottleneck` at a data party's side of the cut (torch).

Shapes: B rows, L tokens, N real tokens of all rows, D hidden, R rank.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.codecs.rounding import seed_of
from splitcore.privacy.bottleneck.config import Bottleneck
from splitcore.privacy.draws import row_draws
from splitcore.privacy.noise import Noise
from splitcore.privacy.tokens import targets
from splitcore.wire.protocol.messages import Phase

SAMPLE = (16, 16)  # rows and tokens of drawn ids, by which the head's output is measured
LEAST, MOST = -8.0, 4.0  # log σ


def divergence(mean: torch.Tensor, log_deviation: torch.Tensor) -> torch.Tensor:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each number, in nats."""
    return 0.5 * (mean.square() + (2 * log_deviation).exp() - 1) - log_deviation


class BottleneckStage(ClientStage):
    """x = (h − m)/s; z = μ(x) + σ(x) ξ; m + s z leaves. μ = g x + U D x and log σ = b + V D x are learned.

    m and s are the mean and deviation of each number of the public head's output on drawn tokens.
    """

    def __init__(self, choice: Bottleneck, place: Place, noise: Noise) -> None:
        self._choice, self._noise = choice, noise
        self._middle_D, self._scale_D = _measured(place)
        width, device = place.width, self._middle_D.device
        generator = torch.Generator().manual_seed(seed_of(place.config.training.seed, place.party, choice.name))
        down_RD = torch.randn(choice.rank, width, generator=generator) / width**0.5
        self._parameters = {
            "down": nn.Parameter(down_RD.to(device)),
            "up_mean": nn.Parameter(torch.zeros(width, choice.rank, device=device)),
            "up_deviation": nn.Parameter(torch.zeros(width, choice.rank, device=device)),
            "gain": nn.Parameter(torch.ones(width, device=device)),
            "log_deviation": nn.Parameter(torch.full((width,), math.log(choice.noise), device=device)),
        }
        self._told: torch.Tensor | None = None  # of the release whose loss is asked for next

    def protect(self, tensor_BLD: torch.Tensor, phase: Phase, at: At) -> torch.Tensor:
        """See `ClientStage.protect`. Padding leaves as noise alone."""
        if phase is not Phase.HEAD_UP:
            return tensor_BLD
        mean_BLD, log_deviation_BLD = self.channel(tensor_BLD)
        real_BL1 = at.mask_BL.to(tensor_BLD.device).bool().unsqueeze(-1)
        self._told = divergence(mean_BLD, log_deviation_BLD)[real_BL1.squeeze(-1)].mean()
        drawn_BLD = self._drawn(tensor_BLD, at).to(mean_BLD)
        sent_BLD = torch.where(real_BL1, mean_BLD + log_deviation_BLD.exp() * drawn_BLD, drawn_BLD)
        return (self._middle_D + self._scale_D * sent_BLD).to(tensor_BLD)

    def channel(self, hidden_BLD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """μ and log σ of each number."""
        own = self._parameters
        x_BLD = (hidden_BLD.float() - self._middle_D) / self._scale_D
        inner_BLR = x_BLD @ own["down"].t()
        log_deviation_BLD = own["log_deviation"] + inner_BLR @ own["up_deviation"].t()
        return own["gain"] * x_BLD + inner_BLR @ own["up_mean"].t(), log_deviation_BLD.clamp(LEAST, MOST)

    def loss(self, hidden_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> torch.Tensor | None:
        """See `ClientStage.loss`."""
        if self._told is None:
            raise RuntimeError("a loss was asked for before its release was protected")
        told, self._told = self._told, None
        return self._choice.weight * targets(labels_BL) * told

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """See `ClientStage.parameters`."""
        return self._parameters

    def _drawn(self, tensor_BLD: torch.Tensor, at: At) -> torch.Tensor:
        """ξ (B, L, D): the real tokens' first, so that padding changes nothing of theirs."""
        drawn_BLD = torch.zeros(tensor_BLD.shape)
        for draw in row_draws(tensor_BLD, at):
            drawn_LD = self._noise.normal(draw.name, drawn_BLD[0].numel()).view_as(drawn_BLD[0])
            count = int(draw.real_L.sum())
            drawn_BLD[draw.place, draw.real_L] = drawn_LD[:count]
            drawn_BLD[draw.place, ~draw.real_L] = drawn_LD[count:]
        return drawn_BLD


@torch.no_grad()
def _measured(place: Place) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and deviation of each number of the public head's output (D,), on drawn tokens: its adapter is zero yet."""
    vocabulary = place.head.model.config.get_text_config(decoder=True).vocab_size
    generator = torch.Generator().manual_seed(seed_of(place.config.training.seed, "bottleneck", "tokens"))
    ids_BL = torch.randint(vocabulary, SAMPLE, generator=generator).to(place.head.device)
    hidden_ND = place.head(torch.ones_like(ids_BL), ids_BL=ids_BL).float().flatten(0, 1)
    deviation_D = hidden_ND.std(0)
    return hidden_ND.mean(0), deviation_D.clamp_min(float(deviation_D.mean()) * 1e-3)
