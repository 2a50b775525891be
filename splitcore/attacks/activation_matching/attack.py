"""The attack `activation_matching` (torch). Shapes: B rows, L tokens, N real tokens of a row, D hidden, E embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import cosine_similarity, normalize
from torch.nn.utils.rnn import pad_sequence

from splitcore.attacks.activation_matching.config import ActivationMatching
from splitcore.attacks.classes import fit_classes
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.transcript import Transcript

ROWS = 16  # searched at once
DRAWN = 128  # rows of drawn tokens, to learn where the search starts
LAST = 0.05  # of the learning rate, in the last step
TOKENS = 1024  # inputs compared with the whole vocabulary at once


class ActivationMatchingAttack:
    """Starts from the likeliest tokens, searches freely among inputs, and takes the nearest tokens where they fit."""

    def __init__(self, choice: ActivationMatching) -> None:
        self._choice = choice

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`."""
        crossed = [crossing.hidden_ND for crossing in transcript.crossings]
        examples = _examples(knowledge, max(map(len, crossed), default=1))
        classes = fit_classes(examples, knowledge.embedding)
        search = _Search(self._choice, knowledge, torch.cat([hidden_ND for hidden_ND, _ in examples]).std(0))
        found = list[torch.Tensor]()
        for start in range(0, len(crossed), ROWS):
            rows = crossed[start : start + ROWS]
            found += search.tokens(rows, [classes.read(hidden_ND) for hidden_ND in rows])
        return found


class _Search:
    """For some rows at a time."""

    def __init__(self, choice: ActivationMatching, knowledge: Knowledge, scale_D: torch.Tensor) -> None:
        self._choice, self._head, self._scale_D = choice, knowledge.head, scale_D.clamp_min(1e-12)
        self._senses: Any = self._head.model.get_input_embeddings()
        with torch.no_grad():
            self._table_VE = self._senses(torch.arange(len(knowledge.embedding))).float()

    def tokens(self, crossed: Sequence[torch.Tensor], first: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The ids (N,) of each row, from the ids where it starts."""
        target_BLD, first_BL = (
            pad_sequence(list(crossed), batch_first=True),
            pad_sequence(list(first), batch_first=True),
        )
        mask_BL = torch.arange(first_BL.shape[1]) < torch.tensor([len(row) for row in first])[:, None]
        nearest_BL = self._nearest(self._searched(target_BLD, first_BL, mask_BL))
        best_BL = self._best(target_BLD, mask_BL, first_BL, nearest_BL)
        return [ids_L[mask_L] for ids_L, mask_L in zip(best_BL, mask_BL, strict=True)]

    def _searched(self, target_BLD: torch.Tensor, first_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """Inputs (B, L, E) whose outputs match better than the first tokens'."""
        inputs_BLE = self._table_VE[first_BL].clone().requires_grad_()
        rate = self._choice.learning_rate * float(self._table_VE.std())
        optimiser = torch.optim.AdamW([inputs_BLE], rate, weight_decay=0.0)
        falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, LAST, self._choice.steps)
        with _fed(self._senses, inputs_BLE):
            for _ in range(self._choice.steps):
                loss = self._mismatch(target_BLD, first_BL, mask_BL).sum()
                (inputs_BLE.grad,) = torch.autograd.grad(loss, inputs_BLE)
                optimiser.step()
                falling.step()
        return inputs_BLE.detach()

    def _mismatch(self, target_BLD: torch.Tensor, ids_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        """1 − cosine (B, L), with each dimension in units of its spread; a defence that shortens vectors leaves it."""
        hidden_BLD = self._head(mask_BL.long(), ids_BL=ids_BL).float()
        return (1 - cosine_similarity(hidden_BLD / self._scale_D, target_BLD / self._scale_D, dim=-1)) * mask_BL

    def _nearest(self, inputs_BLE: torch.Tensor) -> torch.Tensor:
        """The tokens (B, L) whose embeddings point most nearly the same way."""
        directions_VE = normalize(self._table_VE, dim=1)
        parts = inputs_BLE.flatten(0, 1).split(TOKENS)
        return torch.cat([(part_NE @ directions_VE.t()).argmax(1) for part_NE in parts]).view(inputs_BLE.shape[:2])

    @torch.no_grad()
    def _best(
        self, target_BLD: torch.Tensor, mask_BL: torch.Tensor, first_BL: torch.Tensor, nearest_BL: torch.Tensor
    ) -> torch.Tensor:
        """For each row the better of both, or at each place the better of both where that matches better still."""
        first, nearest = (self._mismatch(target_BLD, ids_BL, mask_BL) for ids_BL in (first_BL, nearest_BL))
        mixed_BL = torch.where(nearest < first, nearest_BL, first_BL)
        mixed = self._mismatch(target_BLD, mixed_BL, mask_BL)
        best_B = torch.stack([first.sum(1), nearest.sum(1), mixed.sum(1)]).argmin(0)
        return torch.stack([first_BL, nearest_BL, mixed_BL])[best_B, torch.arange(len(best_B))]


def _examples(knowledge: Knowledge, length: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Releases of drawn tokens, and of the observer's own text if it has any."""
    generator = torch.Generator().manual_seed(knowledge.seed)
    drawn = torch.randint(len(knowledge.embedding), (DRAWN, length), generator=generator)
    rows = [*drawn, *knowledge.own_text()]
    return list(zip(knowledge.released(rows), rows, strict=True))


@contextmanager
def _fed(senses: Any, inputs_BLE: torch.Tensor) -> Iterator[None]:
    """The embedding gives out these inputs, whatever the ids."""
    handle = senses.register_forward_hook(lambda *_: inputs_BLE)
    try:
        yield
    finally:
        handle.remove()
