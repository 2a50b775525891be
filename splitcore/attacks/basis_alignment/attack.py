"""The attack `basis_alignment` (torch). Shapes: N tokens, of a row or of all rows, P places, D hidden."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from splitcore.attacks.classes import TokenClasses, fit_classes
from splitcore.attacks.interface import Knowledge
from splitcore.attacks.transcript import Transcript
from splitcore.errors import AppError

FEWEST = 3  # rows at a place, for its mean to count
STILL = 1e-4  # relative change of what is left, below which nothing more is found

Rows = Sequence[torch.Tensor]


class BasisAlignmentAttack:
    """A rotation Q leaves every distance and moment as it is: X = H Q, with H like the public states of other text."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds

    def guess(self, transcript: Transcript, knowledge: Knowledge) -> list[torch.Tensor]:
        """See `Attack.guess`. Rows that the observer knows help, and are given back. Raises AppError CL-1560."""
        text = knowledge.own_text()
        if len(text) < 2:
            raise AppError("CL-1560")
        public, crossed = knowledge.undefended(text), [one.hidden_ND for one in transcript.crossings]
        reader = _Reader(knowledge, fit_classes(list(zip(public, text, strict=True)), knowledge.embedding), crossed)
        tried = [reader.refined(start_DD, self._rounds) for start_DD in starts(crossed, public)]
        return min(tried, key=lambda one: one[0])[1]


class _Reader:
    """Reads all rows in a basis, and fits the basis to what was read."""

    def __init__(self, knowledge: Knowledge, classes: TokenClasses, crossed: Rows) -> None:
        self._knowledge, self._classes, self._crossed = knowledge, classes, crossed
        self._known = {place: ids_N for place, ids_N in knowledge.known.items() if len(ids_N)}
        self._all_ND = torch.cat(list(crossed)).double()

    def refined(self, matrix_DD: torch.Tensor, rounds: int) -> tuple[float, list[torch.Tensor]]:
        """What is left between what crossed and the public states of what was read, and that."""
        best, ids = float("inf"), self._read(matrix_DD)
        for _ in range(rounds):
            found_ND = torch.cat(self._knowledge.undefended(ids)).double()
            matrix_DD = procrustes(self._all_ND, found_ND)
            left = float((self._all_ND @ matrix_DD - found_ND).norm())
            if left > best * (1 - STILL):
                break
            best, ids = left, self._read(matrix_DD)
        return best, ids

    def _read(self, matrix_DD: torch.Tensor) -> list[torch.Tensor]:
        return [
            self._known.get(place, self._classes.read((hidden_ND.double() @ matrix_DD).float()))
            for place, hidden_ND in enumerate(self._crossed)
        ]


def procrustes(from_ND: torch.Tensor, to_ND: torch.Tensor) -> torch.Tensor:
    """The orthogonal matrix (D, D) with from · matrix ≈ to (Schönemann, 1966)."""
    left_DD, _, right_DD = torch.linalg.svd(from_ND.t() @ to_ND)
    matrix_DD: torch.Tensor = left_DD @ right_DD
    return matrix_DD


def starts(crossed: Rows, public: Rows) -> Iterator[torch.Tensor]:
    """Where to begin: no secret; the moments' axes; and these with the means at each place, which most rows share."""
    width = crossed[0].shape[1]
    yield torch.eye(width, dtype=torch.float64)
    axes_DD = _axes(torch.cat(list(crossed)).double()) @ _axes(torch.cat(list(public)).double()).t()
    yield axes_DD
    from_PD, to_PD = _means(crossed, public)
    # what the means don't span is left to the axes, which weigh little
    weak_DD = 1e-3 * float(from_PD.square().sum() / width) * torch.eye(width, dtype=torch.float64)
    yield procrustes(torch.cat([from_PD, weak_DD]), torch.cat([to_PD, weak_DD @ axes_DD]))


def _axes(hidden_ND: torch.Tensor) -> torch.Tensor:
    """Columns (D, D): the principal axes, each towards its longer tail."""
    centred_ND = hidden_ND - hidden_ND.mean(0)
    _, axes_DD = torch.linalg.eigh(centred_ND.t() @ centred_ND / len(centred_ND))
    skew_D = (centred_ND @ axes_DD).pow(3).sum(0)
    return axes_DD * torch.where(skew_D < 0, -1.0, 1.0)


def _means(crossed: Rows, public: Rows) -> tuple[torch.Tensor, torch.Tensor]:
    """The mean vector at each place of what crossed, and of the public states (P, D)."""
    pairs = list[tuple[torch.Tensor, torch.Tensor]]()
    for place in range(max(len(row_ND) for row_ND in crossed)):
        both = [[row_ND[place] for row_ND in rows if len(row_ND) > place] for rows in (crossed, public)]
        if min(len(rows) for rows in both) >= FEWEST:
            ours_D, theirs_D = (torch.stack(rows).double().mean(0) for rows in both)
            pairs.append((ours_D, theirs_D))
    if not pairs:
        empty_0D = torch.zeros(0, crossed[0].shape[1], dtype=torch.float64)
        return empty_0D, empty_0D
    return torch.stack([ours_D for ours_D, _ in pairs]), torch.stack([theirs_D for _, theirs_D in pairs])
