"""How a vector that arrives differs from the head's output: clipping, noise, the rounding of its format (torch).

Shapes: N tokens, S rows, T tokens of each, D hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, log, pi

import torch

from splitcore.attacks.enumeration.prefixes import Prefixes
from splitcore.attacks.interface import Knowledge
from splitcore.privacy.importance_noise.stage import factors
from splitcore.privacy.law import NoiseLaw, noise_among

ROWS, LENGTH = 8, 16  # of random tokens, by which the rounding is measured
LEAST = 1e-10  # relative variance: two machines' sums in fp32 differ by less
NO_NOISE = NoiseLaw(clip=inf, deviation=0.0)


@dataclass(frozen=True)
class Law:
    """noise: the defence's. relative: further variance, per squared rms of what arrives."""

    noise: NoiseLaw
    vocabulary: int
    relative: float = 0.0

    @property
    def deviation(self) -> float:
        """Of the noise in each number, of the token with the least noise."""
        return self.noise.deviation

    @property
    def row_clip(self) -> float:
        """Largest norm of a row's vectors together."""
        return self.noise.clip if self.noise.clips == "row" else inf

    @property
    def clip(self) -> float:
        """Largest norm of each vector."""
        return self.noise.clip if self.noise.clips == "token" else inf

    @cached_property
    def extra(self) -> torch.Tensor:
        """Variance of each token's noise beyond that of the token with the least, as a share of that one's (V,)."""
        return factors(self.vocabulary, self.noise.rarest).square() - 1

    def sent(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """What leaves without the noise, of a row that isn't clipped as a whole."""
        return hidden_ND * self.factor(hidden_ND.norm(dim=1)).unsqueeze(1)

    def factor(self, norm: torch.Tensor) -> torch.Tensor:
        """By what a vector of this norm is scaled."""
        return (self.clip / norm.clamp_min(1e-12)).clamp_max(1.0)

    def row_factor(self, norm: torch.Tensor) -> torch.Tensor:
        """By what a row of this norm is scaled."""
        return (self.row_clip / norm.clamp_min(1e-12)).clamp_max(1.0)

    def variance(self, received_ND: torch.Tensor, scale_N: torch.Tensor) -> torch.Tensor:
        """Of each number of a vector around what was sent (N,), of the token with the least noise.

        scale_N: what the vectors were multiplied by, noise and all, since they arrived.
        """
        return (self.deviation * scale_N).square() + self.relative * received_ND.square().mean(1)

    def log_density(self, square: torch.Tensor, variance: torch.Tensor, width: int) -> torch.Tensor:
        """ln p(y) from ‖y − m‖² and the variance of each number, in fp64; of the radial law up to a constant.

        What a number format adds to noise of any direction is counted as more of the same noise.
        """
        square, variance = square.double(), variance.double()
        if self.noise.is_radial:
            rate = ((width + 1) / variance).sqrt()
            return width * rate.log() - rate * square.sqrt()
        return -0.5 * (square / variance + width * (variance.log() + log(2 * pi)))


def law_of(knowledge: Knowledge, *, cached: bool) -> Law:
    """The run's law: the defence as it is configured, and the rounding as it is on rows of random tokens."""
    defence, vocabulary = noise_among(knowledge.plan.settings.config.privacy.defences), len(knowledge.embedding)
    exact = Law(defence.law(knowledge.width) if defence else NO_NOISE, vocabulary)
    ids_ST = torch.randint(vocabulary, (ROWS, LENGTH), generator=torch.Generator().manual_seed(knowledge.seed))
    places_S, prefixes = torch.arange(ROWS), Prefixes.empty(knowledge.head, ROWS, cached=cached)
    states = list[torch.Tensor]()
    for tokens_S in ids_ST.t():
        states.append(prefixes.states(places_S, tokens_S))
        prefixes = prefixes.extended(places_S, tokens_S)
    sent_STD = torch.stack([exact.sent(hidden_SD) for hidden_SD in states], 1)
    sent_STD *= exact.row_factor(sent_STD.flatten(1).norm(dim=1))[:, None, None]
    received_STD = torch.stack(knowledge.released(list(ids_ST)))
    noise_ST = exact.deviation**2 * (1 + exact.extra[ids_ST])
    off_ST = (received_STD - sent_STD).square().mean(2) - noise_ST
    relative = float((off_ST / received_STD.square().mean(2).clamp_min(1e-12)).mean())
    return Law(exact.noise, vocabulary, max(relative, LEAST))
