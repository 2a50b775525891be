"""The attack `nearest_embedding` (torch). Shapes: N tokens, D hidden, V vocabulary."""

from __future__ import annotations

import torch
from torch.nn.functional import normalize

from splitcore.attacks.interface import Knowledge
from splitcore.attacks.transcript import Transcript

TOKENS = 1024  # vectors compared with the whole vocabulary at once


class NearestEmbeddingAttack:
    """argmin over the vocabulary of the distance between a hidden state and an embedding."""

    def __init__(self, distance: str) -> None:
        self._distance = distance

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`."""
        embedding_VD = knowledge.embedding
        square_V = embedding_VD.square().sum(1)
        if self._distance == "cosine":  # by angle only, so that an embedding of zeros (padding) is near to nothing
            embedding_VD, square_V = normalize(embedding_VD, dim=1), torch.zeros(len(embedding_VD))
        return [self._nearest(row.hidden_ND, embedding_VD, square_V) for row in transcript.crossings]

    def _nearest(self, hidden_ND: torch.Tensor, embedding_VD: torch.Tensor, square_V: torch.Tensor) -> torch.Tensor:
        """‖h − e‖² = ‖h‖² − 2⟨h, e⟩ + ‖e‖², where the first term doesn't depend on the token."""
        found = [(square_V - 2 * part_ND @ embedding_VD.t()).argmin(1) for part_ND in torch.split(hidden_ND, TOKENS)]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)
