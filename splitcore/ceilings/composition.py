"""Several releases and channels of the same records (torch): independent noises add their squared distances.

Nats add up, too. The ceiling of what was released together lies above that of each alone, and it holds when later
releases depend on earlier ones, as long as the sum has a bound that nothing exceeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch


def together(distances: Sequence[torch.Tensor]) -> torch.Tensor:
    """√(Σ m²), record by record, of releases with noise of their own: epochs, hidden states and gradients."""
    return torch.stack([m_N.double().square() for m_N in distances]).sum(0).sqrt()


def effective_noise(deviation: float, releases: int) -> float:
    """σ/√E: what is left of the noise where the same vectors leave `releases` times, each time with fresh noise.

    One release that is kept and used again counts once.
    """
    return deviation / math.sqrt(releases)
