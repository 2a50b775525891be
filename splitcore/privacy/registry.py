"""Every defence, in the order in which they are applied. Torch-free."""

from __future__ import annotations

from splitcore.boundary.choice import CutStrategy
from splitcore.privacy.adversarial.config import Adversarial
from splitcore.privacy.bottleneck.config import Bottleneck
from splitcore.privacy.dchi.config import Dchi
from splitcore.privacy.gaussian.config import Gaussian
from splitcore.privacy.importance_noise.config import ImportanceNoise
from splitcore.privacy.matrix_gaussian.config import MatrixGaussian
from splitcore.privacy.nopeek.config import NoPeek
from splitcore.privacy.secret_start.config import SecretStart
from splitcore.privacy.token_mixup.config import TokenMixup

DEFENCES: list[type[CutStrategy]] = [
    SecretStart,
    NoPeek,
    Adversarial,
    TokenMixup,
    Bottleneck,
    Gaussian,
    MatrixGaussian,
    Dchi,
    ImportanceNoise,
]
