"""An observer who has every upload of a server half: what it can read beside the sum of all parties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import torch

Upload = Mapping[str, torch.Tensor]


def is_uniform(values: torch.Tensor) -> bool:
    """Whether the bytes of int64 values look drawn at random: chi square over 256 classes, at seven deviations.

    The classes are counted for each of the eight places of a byte alone, since a small number shows in the high ones.
    """
    bytes_N8 = values.contiguous().reshape(-1).numpy().view(np.uint8).reshape(-1, 8)
    expected = len(bytes_N8) / 256
    for place in range(8):
        counts = np.bincount(bytes_N8[:, place], minlength=256)
        if abs(float(((counts - expected) ** 2 / expected).sum()) - 255) > 7 * (2 * 255) ** 0.5:
            return False
    return True


def readable(steps: Sequence[Sequence[Upload]]) -> list[str]:
    """What is not uniform of the uploads of several steps, a list of the parties' in each: single uploads, sums and
    differences of any parties but the sum of all, and differences between steps."""
    flat = [[torch.cat([part[name].reshape(-1) for name in sorted(part)]) for part in parts] for parts in steps]
    found: list[str] = []
    for number, parts in enumerate(flat):
        for size in range(1, max(2, len(parts))):
            for chosen in combinations(range(len(parts)), size):
                if not is_uniform(torch.stack([parts[place] for place in chosen]).sum(0)):
                    found.append(f"step {number}: sum of {chosen}")
        # of two, the difference's lowest bit is the sum's, which is known
        for one, other in combinations(range(len(parts)), 2) if len(parts) > 2 else ():
            if not is_uniform(parts[one] - parts[other]):
                found.append(f"step {number}: difference of {one} and {other}")
    for number, (before, after) in enumerate(pairwise(flat)):
        for place, (old, new) in enumerate(zip(before, after, strict=True)):
            if not is_uniform(new - old):
                found.append(f"party {place}: difference of the steps {number} and {number + 1}")
    return found
