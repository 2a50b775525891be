"""Every defence, in the order in which they are applied. Torch-free."""

from __future__ import annotations

from splitcore.boundary.choice import CutStrategy
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.secret_start.config import SecretStart

DEFENCES: list[type[CutStrategy]] = [SecretStart, Gaussian]
