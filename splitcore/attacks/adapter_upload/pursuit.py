"""Of which few atoms some vectors are sums: rank-aware order-recursive matching pursuit (torch).

Davies and Eldar, Rank awareness in joint sparse recovery (2012): as long as vectors are left over, the atom that lies
nearest to the space that they span, both without what the atoms so far explain.

Shapes: R vectors, K independent ones, D numbers of each, V atoms, S atoms taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

FAINT = 1e-5  # of the largest singular value: below that it is rounding
LEFT = 0.03  # of a direction of unit length: below that it is explained
INSIDE = 0.999  # of an atom lies in the space: it is taken at once
IDLE = 1e-3  # of the largest coefficient: an atom with less explains nothing


@dataclass(frozen=True)
class Atoms:
    """Every token's vector (V, D)."""

    vectors_VD: torch.Tensor

    @cached_property
    def units(self) -> torch.Tensor:
        """Of length one; zeros stay zeros."""
        return torch.nn.functional.normalize(self.vectors_VD, dim=1)


def tokens_in(rows_RD: torch.Tensor, atoms: Atoms) -> list[int]:
    """The atoms that the rows are sums of, as far as they can be told: fewer than D, the likeliest first."""
    _, size_K, basis_KD = torch.linalg.svd(rows_RD, full_matrices=False)
    basis_KD = basis_KD[size_K > FAINT * size_K[0]]
    unit_VD = atoms.units
    taken, taken_SD = list[int](), unit_VD.new_zeros(0, unit_VD.shape[1])
    free_V = unit_VD.square().sum(1)  # of each atom, the part outside what is taken
    while len(taken) < unit_VD.shape[1] - 1:
        left_KD = _left(basis_KD, taken_SD)
        if not len(left_KD):
            break
        near_V = (unit_VD @ left_KD.t()).square().sum(1) / free_V.clamp_min(1e-6)
        near_V[free_V < 1e-4] = 0.0
        inside = (near_V > INSIDE**2).nonzero().flatten()
        chosen = inside[: len(left_KD)].tolist() if len(inside) else [int(near_V.argmax())]
        for atom in chosen:
            rest_D = _outside(unit_VD[atom], taken_SD)
            if float(rest_D.norm()) < 1e-2:
                continue
            rest_D = rest_D / rest_D.norm()
            taken_SD = torch.cat([taken_SD, rest_D[None]])
            free_V = free_V - (unit_VD @ rest_D).square()
            taken.append(atom)
    return _that_explain(taken, unit_VD, basis_KD)


def _left(basis_KD: torch.Tensor, taken_SD: torch.Tensor) -> torch.Tensor:
    """An orthonormal basis of what isn't explained yet."""
    rest_KD = _outside(basis_KD, taken_SD)
    _, size_K, found_KD = torch.linalg.svd(rest_KD, full_matrices=False)
    return found_KD[size_K > LEFT]


def _outside(vectors: torch.Tensor, taken_SD: torch.Tensor) -> torch.Tensor:
    for _ in range(2):  # once leaves rounding
        vectors = vectors - (vectors @ taken_SD.t()) @ taken_SD
    return vectors


def _that_explain(taken: list[int], unit_VD: torch.Tensor, basis_KD: torch.Tensor) -> list[int]:
    """Without the atoms that were taken on the way and turned out to be none of them."""
    if not taken:
        return []
    solved_SK = torch.linalg.lstsq(unit_VD[taken].t().double(), basis_KD.t().double()).solution
    size_S = solved_SK.norm(dim=1)
    return [atom for atom, size in zip(taken, size_S.tolist(), strict=True) if size > IDLE * float(size_S.max())]
