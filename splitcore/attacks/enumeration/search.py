"""Beam search over the tokens of several rows at once, from left to right (torch).

Shapes: R rows, S prefixes of them, P pairs of a prefix and a next token, V vocabulary, D hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from splitcore.attacks.enumeration.law import LEAST, Law
from splitcore.attacks.enumeration.prefixes import Prefixes
from splitcore.attacks.enumeration.table import Table

FIRST = 8  # tokens tried for each prefix before the filter is asked again; then twice as many, and so on
MARGIN = 6.0  # nats by which a token that the filter misjudges may seem too unlikely to be tried
BEHIND = 12.0  # nats: a prefix that is less likely than its row's best by this much is given up


@dataclass(frozen=True)
class Received:
    """One row's vectors (N, D), and by how much the mean over several releases has made their variance smaller.

    releases: of which they are the mean. scale: what they were multiplied by, noise and all, to undo the clip of the
    whole row.
    """

    hidden_ND: torch.Tensor
    averaged: float = 0.0
    releases: int = 1
    scale: float = 1.0


class Search:
    """The most likely token ids of rows, given the law of what arrives."""

    def __init__(self, law: Law, tables: tuple[Table, Table], *, beam: int, candidates: int, drifts: bool) -> None:
        """`drifts`: whether the head that sent the rows may differ from the public one."""
        self._law, self._tables, self._beam, self._candidates = law, tables, beam, candidates
        self._drifts = drifts

    def ids(self, rows: Sequence[Received], empty: Prefixes) -> list[torch.Tensor]:
        """The ids (N,) of each row; `empty`: a prefix without tokens for each."""
        found = [torch.zeros(0, dtype=torch.int64) for _ in rows]
        lengths_R = torch.tensor([len(row.hidden_ND) for row in rows])
        live_S = lengths_R.nonzero().flatten()
        beams = _Beams(empty, live_S, torch.zeros(len(live_S), dtype=torch.float64))
        drift_R = torch.zeros(len(rows))
        place = 0
        while len(beams.row_S):
            received_SD = torch.stack([rows[row].hidden_ND[place] for row in beams.row_S.tolist()])
            spread = self._spread(rows, beams.row_S, received_SD, drift_R)
            table = self._tables[min(place, 1)]
            pairs = _Tried(self._law, table, beams, received_SD, spread).best(self._beam, self._candidates)
            place += 1
            best = pairs.at(_starts(beams.row_S[pairs.at_P]))
            row_R = beams.row_S[best.at_P]
            scale_R = torch.tensor([rows[row].scale for row in row_R.tolist()])
            drift_R[row_R] += (self._beyond(best, received_SD, scale_R) - drift_R[row_R]) / place
            for row, at, token in zip(row_R.tolist(), best.at_P.tolist(), best.token_P.tolist(), strict=True):
                if lengths_R[row] == place:
                    found[row] = torch.cat([beams.prefixes.ids_ST[at], torch.tensor([token])])
            beams = _going_on(beams, pairs.at((lengths_R[beams.row_S[pairs.at_P]] > place).nonzero().flatten()))
        return found

    def _spread(
        self, rows: Sequence[Received], row_S: torch.Tensor, received_SD: torch.Tensor, drift_R: torch.Tensor
    ) -> _Spread:
        """Of each number around what was sent."""
        power_S = received_SD.square().mean(1)
        averaged_S, least_S, scale_S = torch.tensor(
            [(rows[row].averaged, 1 / rows[row].releases, rows[row].scale) for row in row_S.tolist()]
        ).unbind(1)
        single_S = self._law.variance(received_SD, scale_S)
        variance_S = torch.maximum(single_S - averaged_S, (single_S * least_S).clamp_min(LEAST * power_S))
        noise_S = (self._law.deviation * scale_S).square() * variance_S / single_S.clamp_min(1e-30)
        return _Spread(variance_S + drift_R[row_S] * power_S if self._drifts else variance_S, noise_S)

    def _beyond(self, best: _Pairs, received_SD: torch.Tensor, scale_R: torch.Tensor) -> torch.Tensor:
        """By how much more than its law says each row's best token is off, relative to its power."""
        received_RD = received_SD[best.at_P]
        noise_R = (self._law.deviation * scale_R).square() * self._law.extra[best.token_P]
        beyond_R = best.square_P / received_RD.shape[1] - self._law.variance(received_RD, scale_R) - noise_R
        return (beyond_R / received_RD.square().mean(1).clamp_min(1e-12)).clamp_min(0)


@dataclass(frozen=True)
class _Spread:
    """Variance of each number around what was sent, of the token with the least noise; and that noise's part of it."""

    variance_S: torch.Tensor
    noise_S: torch.Tensor


@dataclass(frozen=True)
class _Beams:
    """The prefixes that are still read: whose row each is, and its log-likelihood."""

    prefixes: Prefixes
    row_S: torch.Tensor
    total_S: torch.Tensor


@dataclass(frozen=True)
class _Pairs:
    """Tokens that were tried: after which prefix, ‖received − sent‖², and the log-likelihood of both together."""

    at_P: torch.Tensor
    token_P: torch.Tensor
    square_P: torch.Tensor
    total_P: torch.Tensor

    def at(self, place_P: torch.Tensor) -> _Pairs:
        """Those at these places."""
        return _Pairs(self.at_P[place_P], self.token_P[place_P], self.square_P[place_P], self.total_P[place_P])

    def joined(self, other: _Pairs) -> _Pairs:
        """Both."""
        ours, theirs = vars(self).values(), vars(other).values()
        return _Pairs(*(torch.cat(both) for both in zip(ours, theirs, strict=True)))


class _Tried:
    """The tokens tried at one place.

    A token that was not tried is as likely as the table has it, whose distance from the tried ones' exact outputs is
    further variance. Those are tried that would be among their row's best.
    """

    def __init__(self, law: Law, table: Table, beams: _Beams, received_SD: torch.Tensor, spread: _Spread) -> None:
        self._law, self._table, self._beams = law, table, beams
        self._received_SD, self._spread = received_SD, spread
        count, vocabulary = len(received_SD), len(table.base_VD)
        self._tried_SV = torch.zeros(count, vocabulary, dtype=torch.bool)
        self._count_S = torch.zeros(count)
        self._shift_SD = torch.zeros_like(received_SD)  # sums over the tokens tried
        self._square_S, self._scale_S = torch.zeros(count), torch.zeros(count)

    def best(self, beam: int, candidates: int) -> _Pairs:
        """The `beam` likeliest pairs of each row, the likeliest first, without hopeless ones."""
        row_S, total_S = self._beams.row_S, self._beams.total_S
        open_S, size, done = torch.arange(len(row_S)), FIRST, 0
        limit = min(candidates, self._tried_SV.shape[1])
        kept: _Pairs | None = None
        least_R = torch.full((int(row_S.max()) + 1,), -torch.inf, dtype=torch.float64)
        while len(open_S) and done < limit:
            size = min(size, limit - done)
            likely = [self._likeliest(part_S, size) for part_S in open_S.split(64)]
            value_SK, token_SK = (torch.cat(parts) for parts in zip(*likely, strict=True))
            wanted_SK = value_SK + total_S[open_S].unsqueeze(1) > least_R[row_S[open_S]].unsqueeze(1) - MARGIN
            wanted_SK &= value_SK > -torch.inf
            place_S, place_K = wanted_SK.nonzero(as_tuple=True)
            if not len(place_S):
                break
            pairs = self._try(open_S[place_S], token_SK[place_S, place_K])
            kept = pairs if kept is None else kept.joined(pairs)
            kept, least_R = _likeliest_of_rows(kept, row_S, beam, least_R)
            open_S = open_S[wanted_SK.any(1)]
            done, size = done + size, 2 * size
        assert kept is not None
        return kept

    def _likeliest(self, at_S: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-densities and ids (S, K) of the likeliest tokens that were not tried."""
        count_S = self._count_S[at_S].clamp_min(1)
        shift_SD = self._shift_SD[at_S] / count_S.unsqueeze(1)
        width = shift_SD.shape[1]
        spread_S = (self._square_S[at_S] / count_S - shift_SD.square().sum(1)).clamp_min(0)
        spread_S = spread_S / width * count_S / (count_S - 1).clamp_min(1) * self._scale_S[at_S] / count_S
        variance_SV = (self._spread.variance_S[at_S] + spread_S).unsqueeze(1)
        if self._law.noise.rarest > 1:
            variance_SV = variance_SV + self._spread.noise_S[at_S].unsqueeze(1) * self._law.extra
        density_SV = self._table.log_density(self._received_SD[at_S], shift_SD, variance_SV)
        found = density_SV.masked_fill_(self._tried_SV[at_S], -torch.inf).topk(size)
        return found.values, found.indices

    def _try(self, at_P: torch.Tensor, token_P: torch.Tensor) -> _Pairs:
        """The head's exact output for these pairs."""
        exact_PD = self._beams.prefixes.states(at_P, token_P)
        scale_P = self._law.factor(exact_PD.norm(dim=1))
        square_P = (self._received_SD[at_P] - exact_PD * scale_P.unsqueeze(1)).square().sum(1)
        shift_PD = exact_PD - self._table.base_VD[token_P]
        self._tried_SV[at_P, token_P] = True
        self._shift_SD.index_add_(0, at_P, shift_PD)
        self._square_S.index_add_(0, at_P, shift_PD.square().sum(1))
        self._scale_S.index_add_(0, at_P, scale_P.square())
        self._count_S.index_add_(0, at_P, torch.ones(len(at_P)))
        variance_P = self._spread.variance_S[at_P] + self._spread.noise_S[at_P] * self._law.extra[token_P]
        density_P = self._law.log_density(square_P, variance_P, exact_PD.shape[1])
        return _Pairs(at_P, token_P, square_P, self._beams.total_S[at_P] + density_P)


def _likeliest_of_rows(
    pairs: _Pairs, row_S: torch.Tensor, beam: int, least_R: torch.Tensor
) -> tuple[_Pairs, torch.Tensor]:
    """Each row's `beam` likeliest pairs that are not hopeless, by row and likelihood; and what another must exceed."""
    order_P = pairs.total_P.argsort(descending=True, stable=True)
    order_P = order_P[row_S[pairs.at_P[order_P]].argsort(stable=True)]
    pairs = pairs.at(order_P)
    row_P = row_S[pairs.at_P]
    first_P = torch.searchsorted(row_P, row_P)
    rank_P = torch.arange(len(row_P)) - first_P
    kept_P = (rank_P < beam) & (pairs.total_P > pairs.total_P[first_P] - BEHIND)
    least_R = least_R.clone()
    least_R[row_P[rank_P == 0]] = pairs.total_P[rank_P == 0] - BEHIND
    full_P = (rank_P == beam - 1) & kept_P
    least_R[row_P[full_P]] = pairs.total_P[full_P]
    return pairs.at(kept_P.nonzero().flatten()), least_R


def _starts(row_P: torch.Tensor) -> torch.Tensor:
    """Where each row begins in a list that is sorted by row."""
    return torch.searchsorted(row_P, row_P.unique_consecutive())


def _going_on(beams: _Beams, pairs: _Pairs) -> _Beams:
    """The prefixes with these tokens."""
    prefixes = beams.prefixes.extended(pairs.at_P, pairs.token_P) if len(pairs.at_P) else beams.prefixes
    return _Beams(prefixes, beams.row_S[pairs.at_P], pairs.total_P)
