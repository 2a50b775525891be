"""The networks of the attack `learned_inverter` and their training (torch).

A network moves each vector before the token classes read it. At first it moves none, so that training starts from the
linear attack, and what is kept is never worse than that on held-out rows.

Shapes: L tokens of the longest of B rows, N real tokens, D hidden, F features, V vocabulary, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from splitcore.attacks.classes import Example, TokenClasses
from splitcore.attacks.learned_inverter.config import LearnedInverter

HIDDEN = 256
ROWS = 8  # in a batch
PATIENCE = 3  # epochs without a better figure on held-out rows
CANDIDATES = 2048  # tokens among which the right one is told while training; later it is the whole vocabulary
STEP = 10.0  # how far an output of 1 moves a vector, in mean distances of the centres from their middle
WEIGHT_DECAY = 1e-5


class Inverter(nn.Module):
    """x ← x + step · out(body(x)), in the classes' coordinates, then the likeliest class."""

    def __init__(self, kind: str, classes: TokenClasses, deviation: float) -> None:
        """`deviation`: the standard deviation of the vectors' numbers."""
        super().__init__()
        width = len(classes.middle_D)
        self.classes, self._deviation = classes, deviation
        self._step = STEP / float(classes.centres_VD[classes.seen_S].norm(dim=1).mean())
        self._body = _Both(width) if kind == "gru" else _Each(width)
        self._out = nn.Linear(2 * HIDDEN, width)
        nn.init.zeros_(self._out.weight)
        nn.init.zeros_(self._out.bias)

    def forward(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """The vectors (N, D) of several rows' hidden states, one row after the other."""
        white = [self.classes.white(hidden_ND) for hidden_ND in rows]
        moved_NF = self._body([white_ND / self._deviation for white_ND in white])
        return torch.cat(white) + self._step * self._out(moved_NF)

    @torch.no_grad()
    def read(self, rows: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The token ids (N,) of each row's hidden states."""
        found = list[torch.Tensor]()
        for start in range(0, len(rows), ROWS):
            some = rows[start : start + ROWS]
            found += self.classes.likeliest(self(some)).split([len(row_ND) for row_ND in some])
        return found


class _Each(nn.Module):
    """Features of each vector alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._layers = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, 2 * HIDDEN), nn.GELU())

    def forward(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, F)."""
        features_NF: torch.Tensor = self._layers(torch.cat(list(rows)))
        return features_NF


class _Both(nn.Module):
    """Features of each vector in its row, from both sides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._gru = nn.GRU(width, HIDDEN, bidirectional=True, batch_first=True)

    def forward(self, rows: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, F)."""
        lengths_B = torch.tensor([len(row_ND) for row_ND in rows])
        padded_BLD = pad_sequence(list(rows), batch_first=True)
        packed = pack_padded_sequence(padded_BLD, lengths_B, batch_first=True, enforce_sorted=False)
        features_BLF, _ = pad_packed_sequence(self._gru(packed)[0], batch_first=True)
        return features_BLF[torch.arange(padded_BLD.shape[1]) < lengths_B[:, None]]


def trained(
    choice: LearnedInverter,
    classes: TokenClasses,
    releases: Sequence[Sequence[Example]],
    held_out: Sequence[Example],
    *,
    seed: int,
) -> Inverter:
    """Trained on a release in each epoch, in turn, and kept as it was when it read most of the held-out rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inverter = Inverter(choice.kind, classes, _deviation(classes, held_out))
        optimiser = torch.optim.Adam(inverter.parameters(), choice.learning_rate, weight_decay=WEIGHT_DECAY)
        best, kept, since = _read_right(inverter, held_out), deepcopy(inverter.state_dict()), 0
        for epoch in range(choice.epochs):
            _train_once(inverter, optimiser, releases[epoch % len(releases)])
            right, since = _read_right(inverter, held_out), since + 1
            if right > best:
                best, kept, since = right, deepcopy(inverter.state_dict()), 0
            if since == PATIENCE:
                break
    inverter.load_state_dict(kept)
    return inverter


def _train_once(inverter: Inverter, optimiser: torch.optim.Optimizer, release: Sequence[Example]) -> None:
    order = torch.randperm(len(release)).tolist()
    for start in range(0, len(order), ROWS):
        batch = [release[place] for place in order[start : start + ROWS]]
        ids_N = torch.cat([ids for _, ids in batch])
        candidates_C = _candidates(inverter.classes, ids_N)
        moved_ND = inverter([hidden_ND for hidden_ND, _ in batch])
        centres_CD, offset_C = inverter.classes.centres_VD[candidates_C], inverter.classes.offset_V[candidates_C]
        scores_NC = moved_ND @ centres_CD.t() + offset_C
        loss = cross_entropy(scores_NC, torch.searchsorted(candidates_C, ids_N))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _candidates(classes: TokenClasses, ids_N: torch.Tensor) -> torch.Tensor:
    """The batch's tokens, and others: half of them from the observer's text, half from the whole vocabulary."""
    vocabulary = len(classes.offset_V)
    if vocabulary <= CANDIDATES:
        return torch.arange(vocabulary)
    seen = classes.seen_S[torch.randint(len(classes.seen_S), (CANDIDATES // 2,))]
    return torch.cat([ids_N, seen, torch.randint(vocabulary, (CANDIDATES // 2,))]).unique()


def _deviation(classes: TokenClasses, examples: Sequence[Example]) -> float:
    white_ND = torch.cat([classes.white(hidden_ND) for hidden_ND, _ in examples])
    return max(float(white_ND.std()), 1e-12)


def _read_right(inverter: Inverter, examples: Sequence[Example]) -> int:
    """Tokens."""
    guesses = inverter.read([hidden_ND for hidden_ND, _ in examples])
    return sum(int((guess_N == ids_N).sum()) for guess_N, (_, ids_N) in zip(guesses, examples, strict=True))
