"""The method `auxiliary_loss` at a data party's side of the cut (torch).

Shapes: B rows, L tokens, D hidden, R rank, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.codecs.rounding import seed_of
from splitcore.errors import AppError
from splitcore.methods.auxiliary_loss.config import AuxiliaryLoss
from splitcore.optimise.loss import loss_sum


class AuxiliaryLossStage(ClientStage):
    """weight · CE(E · norm(h + U·D·h), next token), summed: E is the frozen embedding (V, D); U and D are trained."""

    def __init__(self, choice: AuxiliaryLoss, place: Place) -> None:
        """Raises AppError CL-1103 where the head has no embedding of the hidden width."""
        self._weight = choice.weight
        embedding = getattr(place.head.model.get_input_embeddings(), "weight", None)
        if not isinstance(embedding, torch.Tensor) or embedding.dim() != 2 or embedding.shape[1] != place.width:
            raise AppError("CL-1103", "auxiliary_loss needs a base model with an embedding of its hidden width.")
        self._embedding_VD = embedding.detach()
        width, device = embedding.shape[1], embedding.device
        generator = torch.Generator().manual_seed(seed_of(place.config.training.seed, place.party, choice.name))
        down_RD = torch.randn(choice.rank, width, generator=generator) / width**0.5
        self._down = nn.Parameter(down_RD.to(device))
        self._up = nn.Parameter(torch.zeros(width, choice.rank, device=device))

    def loss(self, hidden_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> torch.Tensor | None:
        """See `ClientStage.loss`."""
        hidden_BLD = hidden_BLD.float()
        width = hidden_BLD.shape[-1]
        turned_BLD = hidden_BLD + hidden_BLD @ self._down.t() @ self._up.t()
        logits_BLV = functional.rms_norm(turned_BLD, (width,)).to(self._embedding_VD) @ self._embedding_VD.t()
        return self._weight * loss_sum(logits_BLV, labels_BL)

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """See `ClientStage.parameters`."""
        return {"down": self._down, "up": self._up}
