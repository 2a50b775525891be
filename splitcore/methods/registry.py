"""Every method. Torch-free."""

from __future__ import annotations

from splitcore.boundary.choice import CutStrategy
from splitcore.methods.auxiliary_loss.config import AuxiliaryLoss

METHODS: list[type[CutStrategy]] = [AuxiliaryLoss]
