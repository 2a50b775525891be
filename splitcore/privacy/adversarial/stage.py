"""The defence `adversarial` at a data party's side of the cut (torch).

Shapes: B rows, L tokens, D hidden, N tokens that are read, R width of the reader, V vocabulary, E of an embedding.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import cross_entropy, gelu, layer_norm

from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.codecs.rounding import seed_of
from splitcore.privacy.adversarial.config import Adversarial
from splitcore.privacy.tokens import embedding_of, spread, targets


class AdversarialStage(ClientStage):
    """The reader minimises its cross-entropy; the head, through a reversed gradient, maximises weight times that.

    A token that the reader no longer reads better than by chance pushes the head no further.
    """

    def __init__(self, choice: Adversarial, place: Place) -> None:
        """Raises AppError CL-1103 where the head has no embedding."""
        self._choice, self._embedding_VE = choice, embedding_of(place, choice.name).float()
        vocabulary, width = self._embedding_VE.shape
        self._chance = math.log(vocabulary)
        self._scale = float(self._embedding_VE.norm(dim=1).mean().clamp_min(1e-6)) ** -1
        generator = torch.Generator().manual_seed(seed_of(place.config.training.seed, place.party, choice.name))
        down_RD = torch.randn(choice.rank, place.width, generator=generator) / place.width**0.5
        up_ER = torch.randn(width, choice.rank, generator=generator) / choice.rank**0.5
        device = self._embedding_VE.device
        self._down, self._up = nn.Parameter(down_RD.to(device)), nn.Parameter(up_ER.to(device))

    def logits(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """The reader's scores of every token (N, V)."""
        inner_NR = gelu(layer_norm(hidden_ND, hidden_ND.shape[1:]) @ self._down.t())
        scores_NV: torch.Tensor = (inner_NR @ self._up.t()) @ self._embedding_VE.t()
        return scores_NV * self._scale

    def loss(self, hidden_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> torch.Tensor | None:
        """See `ClientStage.loss`. Its value is the reader's loss; its gradient at the head is reversed."""
        hidden_ND, ids_N = spread(hidden_BLD, at, self._choice.tokens)
        faced_ND = hidden_ND.clone()
        loss_N = cross_entropy(self.logits(faced_ND), ids_N, reduction="none")
        if faced_ND.requires_grad:
            factor_N1 = -self._choice.weight * (loss_N.detach() < self._chance).unsqueeze(1)
            faced_ND.register_hook(lambda gradient_ND: gradient_ND * factor_N1)
        return targets(labels_BL) * loss_N.mean()

    def parameters(self) -> Mapping[str, nn.Parameter]:
        """See `ClientStage.parameters`."""
        return {"down": self._down, "up": self._up}
