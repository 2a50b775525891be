"""The attack `known_plaintext` (torch). Shapes: N tokens of a row, or of all known rows, D hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from splitcore.attacks.classes import TokenClasses, fit_classes, ridge
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.known_plaintext.config import KnownPlaintext
from splitcore.attacks.transcript import Transcript
from splitcore.errors import AppError

PENALTIES = (1e-6, 1e-4, 1e-2, 1e-1)
DRAWN = 128  # rows of drawn tokens, to learn how the public first layers' states look


@dataclass(frozen=True)
class Pairs:
    """One crossing of a known row: what crossed, what leaves the public first layers (N, D), and its tokens (N,)."""

    crossed_ND: torch.Tensor
    public_ND: torch.Tensor
    ids_N: torch.Tensor


@dataclass(frozen=True)
class BasisMap:
    """x ← (h − middle) · matrix + public middle."""

    middle_D: torch.Tensor
    matrix_DD: torch.Tensor
    public_D: torch.Tensor

    def __call__(self, hidden_ND: torch.Tensor) -> torch.Tensor:
        """Hidden states in the public basis."""
        return ((hidden_ND.double() - self.middle_D) @ self.matrix_DD + self.public_D).float()


class KnownPlaintextAttack:
    """Learns a map into the public basis from known rows, and reads the others there."""

    def __init__(self, choice: KnownPlaintext) -> None:
        self._choice = choice

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`; known rows are given back. Raises AppError CL-1561."""
        known = {place: ids_N for place, ids_N in knowledge.known.items() if len(ids_N)}
        if not known:
            raise AppError("CL-1561")
        public = knowledge.undefended(list(known.values()))
        pairs = [
            Pairs(transcript.crossings[place].hidden_ND, public_ND, ids_N)
            for (place, ids_N), public_ND in zip(known.items(), public, strict=True)
        ]
        classes = public_classes(knowledge, pairs)
        to_public = self._fitted(pairs, classes)
        return [
            known[place] if place in known else classes.read(to_public(crossing.hidden_ND))
            for place, crossing in enumerate(transcript.crossings)
        ]

    def _fitted(self, pairs: Sequence[Pairs], classes: TokenClasses) -> BasisMap:
        """The kind of map that reads every fifth known row best when it is fitted to the others; fitted to all rows."""
        learnt, held_out = parted(pairs)
        tried = zip(self._maps(learnt), self._maps(pairs), strict=True)
        return max(tried, key=lambda both: _read_right(both[0], classes, held_out))[1]

    def _maps(self, pairs: Sequence[Pairs]) -> Iterator[BasisMap]:
        """Each kind, fitted to these rows."""
        crossed_ND = torch.cat([pair.crossed_ND for pair in pairs]).double()
        public_ND = torch.cat([pair.public_ND for pair in pairs]).double()
        middle_D, public_D = crossed_ND.mean(0), public_ND.mean(0)
        inputs_ND, outputs_ND = crossed_ND - middle_D, public_ND - public_D
        if self._choice.map != "linear":
            left_DD, _, right_DD = torch.linalg.svd(inputs_ND.t() @ outputs_ND)  # Procrustes
            yield BasisMap(middle_D, left_DD @ right_DD, public_D)
        if self._choice.map != "rotation":
            for penalty in PENALTIES:
                matrix_DD = ridge(inputs_ND, outputs_ND, torch.ones(len(inputs_ND)), penalty)
                yield BasisMap(middle_D, matrix_DD, public_D)


def parted(pairs: Sequence[Pairs]) -> tuple[list[Pairs], list[Pairs]]:
    """Four of five rows with all their crossings, and the fifth ones with theirs; a single row is on both sides."""
    number = {ids: place for place, ids in enumerate(dict.fromkeys(tuple(pair.ids_N.tolist()) for pair in pairs))}
    fifth = [number[tuple(pair.ids_N.tolist())] % 5 == 0 for pair in pairs]
    learnt = [pair for pair, is_fifth in zip(pairs, fifth, strict=True) if not is_fifth]
    held_out = [pair for pair, is_fifth in zip(pairs, fifth, strict=True) if is_fifth]
    return learnt or held_out, held_out


def public_classes(knowledge: Knowledge, pairs: Sequence[Pairs]) -> TokenClasses:
    """Where the public first layers put each token, from the known rows, the observer's own text and drawn tokens."""
    text = [*(pair.ids_N for pair in pairs), *knowledge.own_text()]
    length = max(len(row) for row in text)
    generator = torch.Generator().manual_seed(knowledge.seed)
    drawn = torch.randint(len(knowledge.embedding), (DRAWN, length), generator=generator)
    rows = [*text, *drawn]
    return fit_classes(list(zip(knowledge.undefended(rows), rows, strict=True)), knowledge.embedding)


def _read_right(to_public: BasisMap, classes: TokenClasses, pairs: Sequence[Pairs]) -> int:
    """Tokens."""
    return sum(int((classes.read(to_public(pair.crossed_ND)) == pair.ids_N).sum()) for pair in pairs)
