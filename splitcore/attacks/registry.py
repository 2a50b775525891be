"""Every attack. Torch-free."""

from __future__ import annotations

from splitcore.attacks.activation_matching.config import ActivationMatching
from splitcore.attacks.adapter_upload.config import AdapterUpload
from splitcore.attacks.averaging.config import Averaging
from splitcore.attacks.basis_alignment.config import BasisAlignment
from splitcore.attacks.choice import AttackChoice
from splitcore.attacks.completion.config import Completion
from splitcore.attacks.enumeration.config import Enumeration
from splitcore.attacks.known_plaintext.config import KnownPlaintext
from splitcore.attacks.label_gradient.config import LabelGradient
from splitcore.attacks.learned_inverter.config import LearnedInverter
from splitcore.attacks.nearest_embedding.config import NearestEmbedding

ATTACKS: list[type[AttackChoice]] = [
    NearestEmbedding,
    LearnedInverter,
    Averaging,
    Enumeration,
    KnownPlaintext,
    BasisAlignment,
    ActivationMatching,
    LabelGradient,
    Completion,
    AdapterUpload,
]
