"""Tokens of a micro-batch, as the defences that act through training take them (torch).

Shapes: B rows, L tokens, D hidden, N tokens that are looked at, V vocabulary, E width of an embedding.
"""

from __future__ import annotations

import torch

from splitcore.boundary.choice import Place
from splitcore.boundary.stages import At
from splitcore.data.tokenise import IGNORED
from splitcore.errors import AppError


def embedding_of(place: Place, name: str) -> torch.Tensor:
    """The head's frozen embedding (V, E). Raises AppError CL-1103 where the base model has none."""
    embedding = getattr(place.head.model.get_input_embeddings(), "weight", None)
    if not isinstance(embedding, torch.Tensor) or embedding.dim() != 2:
        raise AppError("CL-1103", f"{name} needs a base model with an embedding.")
    return embedding.detach()


def spread(hidden_BLD: torch.Tensor, at: At, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """At most so many real tokens, evenly over all of them: what leaves (N, D) in fp32, and their ids (N,)."""
    assert at.ids_BL is not None  # where a data party protects
    real_BL = at.mask_BL.to(hidden_BLD.device).bool()
    hidden_ND, ids_N = hidden_BLD[real_BL].float(), at.ids_BL.to(hidden_BLD.device)[real_BL]
    if len(ids_N) > most:
        chosen_N = torch.linspace(0, len(ids_N) - 1, most, device=hidden_ND.device).round().long()
        hidden_ND, ids_N = hidden_ND[chosen_N], ids_N[chosen_N]
    return hidden_ND, ids_N


def targets(labels_BL: torch.Tensor) -> int:
    """Tokens that the task's loss counts: by so many a mean is multiplied, so that its weight is relative to that."""
    return int((labels_BL[:, 1:] != IGNORED).sum())
