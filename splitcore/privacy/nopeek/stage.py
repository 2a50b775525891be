"""The defence `nopeek` at a data party's side of the cut (torch).

Shapes: B rows, L tokens, D hidden, N tokens that are compared, E width of an embedding.
"""

from __future__ import annotations

import torch

from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At, ClientStage
from splitcore.privacy.nopeek.config import NoPeek
from splitcore.privacy.tokens import embedding_of, spread, targets

TINY = 1e-12


def distance_correlation(one_ND: torch.Tensor, other_NE: torch.Tensor) -> torch.Tensor:
    """dCov / √(dVar · dVar) of N pairs, between 0 and 1 (Székely, Rizzo and Bakirov, 2007)."""
    one_NN, other_NN = _centred(one_ND), _centred(other_NE)
    variance = one_NN.square().mean() * other_NN.square().mean()
    return ((one_NN * other_NN).mean().clamp_min(TINY) / variance.sqrt().clamp_min(TINY)).sqrt()


def _centred(values_ND: torch.Tensor) -> torch.Tensor:
    # the mode without a matrix product: its gradient is zero, not NaN, where two are equal
    apart_NN = torch.cdist(values_ND, values_ND, compute_mode="donot_use_mm_for_euclid_dist")
    return apart_NN - apart_NN.mean(0) - apart_NN.mean(1, keepdim=True) + apart_NN.mean()


class NoPeekStage(ClientStage):
    """weight · dCor(embeddings of the tokens, what leaves of them), beside the task's mean loss."""

    def __init__(self, choice: NoPeek, place: Place) -> None:
        """Raises AppError CL-1103 where the head has no embedding."""
        self._choice, self._embedding_VE = choice, embedding_of(place, choice.name)

    def loss(self, hidden_BLD: torch.Tensor, labels_BL: torch.Tensor, at: At) -> torch.Tensor | None:
        """See `ClientStage.loss`."""
        hidden_ND, ids_N = spread(hidden_BLD, at, self._choice.tokens)
        tokens_NE = self._embedding_VE[ids_N].float()
        return self._choice.weight * targets(labels_BL) * distance_correlation(hidden_ND, tokens_NE)
