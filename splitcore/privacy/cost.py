"""What noise costs a data party, for the planner. Torch-free.

Measured on one server core, for rows of 512 tokens of width 576.
"""

from __future__ import annotations

from splitcore.boundary.choice import Cost

NORMAL_SECONDS = 7.5e-8  # to draw one normal number
RADIAL_SECONDS = 1.1e-7  # to draw one number of a vector of uniform direction and Gamma-distributed length


def cost_of(width: int, seconds: float) -> Cost:
    """Per token, where each number costs so many seconds; the vector before the noise is held for its gradient."""
    return Cost(seconds=seconds * width, memory=4.0 * width)
