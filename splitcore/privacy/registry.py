"""Every defence, in the order in which they are applied. Torch-free."""

from __future__ import annotations

from splitcore.boundary.choice import CutStrategy
from splitcore.privacy.gaussian.config import Gaussian

DEFENCES: list[type[CutStrategy]] = [Gaussian]
