"""An attack's input and output (torch). Shapes: N tokens, D hidden, V vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from splitcore.attacks.transcript import Released


@dataclass(frozen=True)
class Knowledge:
    """The attacker's prior knowledge: the public base model's input embedding (V, D)."""

    embedding_VD: torch.Tensor


class Attack(Protocol):
    """Reads tokens from what crossed."""

    def guess(self, released: Sequence[Released], knowledge: Knowledge) -> list[torch.Tensor]:
        """The guessed token ids (N,) of each released row."""
        ...
