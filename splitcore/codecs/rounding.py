"""How a codec rounds: to the nearest level, or at random without bias, from a seed (torch).

The seed follows from the place of the message (run seed, step, micro-batch, party, phase): a repeated or resumed run
draws the same, and the receiver of a randomly rotated tensor can derive the rotation itself.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch

Rounding = Literal["nearest", "stochastic", "rotated"]


@dataclass(frozen=True)
class Draw:
    """One message's rounding and its random seed."""

    rounding: Rounding = "nearest"
    seed: int = 0

    def uniform(self, shape: tuple[int, ...], device: torch.device) -> torch.Tensor:
        """Numbers in [0, 1), the same for the same seed and kind of device."""
        generator = torch.Generator(device=device).manual_seed(self.seed)
        return torch.rand(shape, generator=generator, device=device, dtype=torch.float32)

    def signs(self, size: int) -> torch.Tensor | None:
        """Random signs (size,) of a random rotation, the same on every machine; none if the rotation is fixed."""
        if self.rounding != "rotated":
            return None
        bits = hashlib.sha256(f"signs\0{self.seed}".encode()).digest()
        return torch.tensor([1.0 - 2.0 * (bits[place // 8] >> place % 8 & 1) for place in range(size)])


NEAREST = Draw()


def seed_of(*parts: object) -> int:
    """A 63-bit seed from SHA-256 of the parts."""
    digest = hashlib.sha256("\0".join(str(part) for part in ("rounding", *parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@lru_cache(maxsize=16)
def hadamard(size: int) -> torch.Tensor:
    """Sylvester's Hadamard matrix (size, size) of +1 and −1; `size` is a power of two. Symmetric, H·H = size·I."""
    matrix = torch.ones(1, 1)
    while len(matrix) < size:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)], 0)
    return matrix
