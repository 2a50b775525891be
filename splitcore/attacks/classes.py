"""Where the hidden states of each token lie, learnt from examples (torch).

Each token is a Gaussian class. All classes have one covariance, which holds what the other tokens of a row add to a
hidden state as well as a defence's noise. A token's centre follows from its embedding by a linear map, so that a token
that no example has can be read too; the more examples it has, the more its centre is their mean.

Shapes: N tokens of a row, D hidden, E width of an embedding, V vocabulary, S tokens that occur in the examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

EXAMPLES = 3.0  # so many of a token weigh as much as its embedding
RARE = 0.1  # added to each token's count before its logarithm is taken as the prior
RIDGE = 1e-3  # relative to the mean of the diagonal
TOKENS = 1024  # hidden states compared with the whole vocabulary at once

Example = tuple[torch.Tensor, torch.Tensor]  # hidden states (N, D), token ids (N,)


@dataclass(frozen=True)
class TokenClasses:
    """The classes in coordinates in which their covariance is the unit matrix: those of `white`."""

    middle_D: torch.Tensor
    white_DD: torch.Tensor
    centres_VD: torch.Tensor
    offset_V: torch.Tensor  # log p(v) − ‖centre‖² / 2
    seen_S: torch.Tensor

    def white(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """Hidden states in the classes' coordinates."""
        white_ND: torch.Tensor = (hidden_ND - self.middle_D) @ self.white_DD
        return white_ND

    def likeliest(self, white_ND: torch.Tensor) -> torch.Tensor:
        """The token (N,) to whose class each vector most likely belongs: argmax of log p(v) − ‖x − centre‖² / 2."""
        parts = torch.split(white_ND, TOKENS)
        found = [torch.addmm(self.offset_V, part_ND, self.centres_VD.t()).argmax(1) for part_ND in parts]
        return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)

    def read(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """The token ids (N,) of a row's hidden states."""
        return self.likeliest(self.white(hidden_ND))


def fit_classes(examples: Sequence[Example], embedding_VE: torch.Tensor) -> TokenClasses:
    """In closed form."""
    seen_S, place_N = torch.cat([ids_N for _, ids_N in examples]).unique(return_inverse=True)
    places = place_N.split([len(ids_N) for _, ids_N in examples])
    count_S = torch.bincount(place_N).double()
    width = examples[0][0].shape[1]
    sum_SD = torch.zeros(len(seen_S), width, dtype=torch.float64)
    for (hidden_ND, _), at_N in zip(examples, places, strict=True):
        sum_SD.index_add_(0, at_N, hidden_ND.double())
    mean_SD, middle_D = sum_SD / count_S[:, None], sum_SD.sum(0) / count_S.sum()
    centres_VD = _from_embedding(mean_SD - middle_D, count_S, embedding_VE, seen_S)
    predicted_SD = centres_VD[seen_S].double() + middle_D
    centres_SD = predicted_SD + (count_S / (count_S + EXAMPLES))[:, None] * (mean_SD - predicted_SD)
    centres_VD[seen_S] = (centres_SD - middle_D).float()
    white_DD = _white(
        hidden_ND.double() - centres_SD[at_N] for (hidden_ND, _), at_N in zip(examples, places, strict=True)
    )
    centres_VD = centres_VD @ white_DD
    prior_V = torch.full((len(embedding_VE),), RARE, dtype=torch.float64).index_add_(0, seen_S, count_S)
    offset_V = (prior_V / prior_V.sum()).log().float() - centres_VD.square().sum(1) / 2
    return TokenClasses(middle_D.float(), white_DD, centres_VD, offset_V, seen_S)


def ridge(inputs_NI: torch.Tensor, outputs_NO: torch.Tensor, weight_N: torch.Tensor, penalty: float) -> torch.Tensor:
    """The matrix (I, O) of the weighted least squares; `penalty` is relative to the mean square of the inputs."""
    weighed_NI = inputs_NI * weight_N[:, None]
    square_II = weighed_NI.t() @ inputs_NI
    return torch.linalg.solve(_with_ridge(square_II, penalty), weighed_NI.t() @ outputs_NO)


def _from_embedding(
    mean_SD: torch.Tensor, count_S: torch.Tensor, embedding_VE: torch.Tensor, seen_S: torch.Tensor
) -> torch.Tensor:
    """Every token's centre (V, D) by the map from embeddings that fits the means best."""
    seen_SE = embedding_VE[seen_S].double()
    middle_E = count_S @ seen_SE / count_S.sum()
    map_ED = ridge(seen_SE - middle_E, mean_SD, count_S, RIDGE)
    return (embedding_VE - middle_E.float()) @ map_ED.float()


def _white(residuals: Iterable[torch.Tensor]) -> torch.Tensor:
    """The matrix (D, D) that gives the residuals the unit covariance."""
    total, count = torch.zeros(()), 0
    for rest_ND in residuals:
        total, count = total + rest_ND.t() @ rest_ND, count + len(rest_ND)
    return torch.linalg.cholesky(torch.linalg.inv(_with_ridge(total / count, RIDGE))).float()


def _with_ridge(square_DD: torch.Tensor, penalty: float) -> torch.Tensor:
    least = max(float(square_DD.diagonal().mean()) * penalty, 1e-12)
    return square_DD + least * torch.eye(len(square_DD), dtype=square_DD.dtype)
