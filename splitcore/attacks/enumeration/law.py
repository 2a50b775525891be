"""How a vector that arrives differs from the head's output: clipping, noise, the rounding of its format (torch).

Shapes: N tokens, S rows, T tokens of each, D hidden.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi

import torch

from splitcore.attacks.enumeration.prefixes import Prefixes
from splitcore.attacks.interface import Knowledge
from splitcore.privacy.gaussian.config import Gaussian

ROWS, LENGTH = 8, 16  # of random tokens, by which the rounding is measured
LEAST = 1e-10  # relative variance: two machines' sums in fp32 differ by less


@dataclass(frozen=True)
class Law:
    """clip: largest norm. deviation: of the noise in each number. relative: further variance, per squared rms."""

    clip: float
    deviation: float
    relative: float

    def sent(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """What leaves without the noise."""
        return hidden_ND * self.factor(hidden_ND.norm(dim=1)).unsqueeze(1)

    def factor(self, norm: torch.Tensor) -> torch.Tensor:
        """By what a vector of this norm is scaled."""
        return (self.clip / norm.clamp_min(1e-12)).clamp_max(1.0)

    def variance(self, received_ND: torch.Tensor) -> torch.Tensor:
        """Of each number of a vector around what was sent (N,)."""
        return self.deviation**2 + self.relative * received_ND.square().mean(1)


def log_density(square: torch.Tensor, variance: torch.Tensor, width: int) -> torch.Tensor:
    """ln N(y; m, v·I) from ‖y − m‖² and v, in fp64."""
    variance = variance.double()
    return -0.5 * (square.double() / variance + width * (variance.log() + log(2 * pi)))


def law_of(knowledge: Knowledge, *, cached: bool) -> Law:
    """The run's law: the defence as it is configured, and the rounding as it is on rows of random tokens."""
    config = knowledge.plan.settings.config
    gaussian = next((one for one in config.privacy.defences if isinstance(one, Gaussian)), None)
    clip, deviation = (gaussian.clip, gaussian.deviation) if gaussian else (float("inf"), 0.0)
    exact = Law(clip, deviation, 0.0)
    ids_ST = torch.randint(
        len(knowledge.embedding), (ROWS, LENGTH), generator=torch.Generator().manual_seed(knowledge.seed)
    )
    places_S, prefixes = torch.arange(ROWS), Prefixes.empty(knowledge.head, ROWS, cached=cached)
    sent = list[torch.Tensor]()
    for tokens_S in ids_ST.t():
        sent.append(exact.sent(prefixes.states(places_S, tokens_S)))
        prefixes = prefixes.extended(places_S, tokens_S)
    received_STD = torch.stack(knowledge.released(list(ids_ST)))
    off_ST = (received_STD - torch.stack(sent, 1)).square().mean(2) - deviation**2
    relative = float((off_ST / received_STD.square().mean(2).clamp_min(1e-12)).mean())
    return Law(clip, deviation, max(relative, LEAST))
