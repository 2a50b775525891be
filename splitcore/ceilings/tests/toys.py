"""Worlds so small that the exact attacker can be computed: what every ceiling has to be above.

Shapes: X texts, T tokens, D hidden, V vocabulary, n draws of a release, N tokens whose label is guessed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import torch

from splitcore.ceilings.bits import Reference

VOCABULARY, TOKENS, WIDTH = 6, 4, 8


def orthogonal_bayes(vocabulary: int, ratio: float) -> float:
    """Success of the exact attacker on so many equally likely points at distance `ratio` σ from each other.

    ∫ φ(z) Φ(z + D/√2σ)^(V−1) dz, by a sum over a fine grid.
    """
    z = torch.linspace(-12, 12, 48_001, dtype=torch.float64)
    log = -z.square() / 2 + (vocabulary - 1) * torch.special.log_ndtr(z + ratio / math.sqrt(2))
    return float(log.exp().sum() * (z[1] - z[0]) / math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class Figures:
    """Successes per token: of the exact attacker, and of two who are given the true text before, or all around."""

    bayes: float
    prefix: float
    rest: float


class Enumerated:
    """Every text of four tokens of six, with a probability and rows of its own: a causal head's, drawn at random."""

    def __init__(self, seed: int) -> None:
        self._draw = torch.Generator().manual_seed(seed)
        shape = (VOCABULARY,) * TOKENS
        chain = self._gamma(VOCABULARY, VOCABULARY)
        first = self._gamma(1, VOCABULARY)[0]
        prior = first
        for _ in range(TOKENS - 1):
            prior = prior.unsqueeze(-1) * chain.reshape(*(1,) * (prior.dim() - 1), VOCABULARY, VOCABULARY)
        self.prior = prior  # (V, V, V, V)
        tokens = torch.randn(VOCABULARY, WIDTH, generator=self._draw, dtype=torch.float64)
        rows = list[torch.Tensor]()
        for place in range(TOKENS):  # a token's vector, and one of all that came before and including it
            past = torch.randn(*shape[: place + 1], WIDTH, generator=self._draw, dtype=torch.float64)
            row = tokens + 0.4 * past
            rows.append(row.reshape(*shape[: place + 1], *(1,) * (TOKENS - 1 - place), WIDTH).expand(*shape, WIDTH))
        self.rows = torch.stack(rows, dim=-2)  # (V, V, V, V, T, D)

    def _gamma(self, *shape: int) -> torch.Tensor:
        """Uneven probabilities."""
        draws = torch.rand(*shape, generator=self._draw, dtype=torch.float64).log().neg().pow(2.5)
        return draws / draws.sum(-1, keepdim=True)

    @cached_property
    def chance(self) -> Figures:
        """The same three without a release."""
        return self._successes(self.prior.unsqueeze(0), self.prior.unsqueeze(0))

    def successes(self, deviation: float, draws: int) -> Figures:
        """By posteriors of drawn releases."""
        prior_X, rows_XF = self.prior.flatten(), self.rows.flatten(0, 3).flatten(1)
        text_n = torch.multinomial(prior_X, draws, replacement=True, generator=self._draw)
        noise_nF = torch.randn(draws, rows_XF.shape[1], generator=self._draw, dtype=torch.float64)
        released_nF = rows_XF[text_n] + deviation * noise_nF
        score_nX = (released_nF @ rows_XF.t() - rows_XF.square().sum(1) / 2) / deviation**2 + prior_X.log()
        posterior = torch.softmax(score_nX, dim=1).reshape(draws, *self.prior.shape)
        return self._successes(posterior, posterior)

    @staticmethod
    def _successes(posterior: torch.Tensor, weight: torch.Tensor) -> Figures:
        """Means over the draws and, within the posterior, over which text it was: no noise from guessing."""
        draws, places = len(posterior), range(1, TOKENS + 1)
        bayes = prefix = rest = 0.0
        for place in places:
            others = [other for other in places if other != place]
            bayes += float(posterior.sum(dim=others).max(1).values.sum())
            later = [other for other in places if other > place]
            prefix += float((posterior.sum(dim=later) if later else posterior).max(dim=place).values.sum())
            rest += float(posterior.max(dim=place).values.sum())
        return Figures(*(total / draws / TOKENS for total in (bayes, prefix, rest)))

    def record_distances(self, deviation: float) -> torch.Tensor:
        """Of every text from the mean of all (X,)."""
        centre_TD = (self.prior[..., None, None] * self.rows).sum(dim=(0, 1, 2, 3))
        return (self.rows - centre_TD).flatten(0, 3).flatten(1).norm(dim=1) / deviation

    def token_distances(self, deviation: float) -> torch.Tensor:
        """Of every text and place from the mean over that place's token, in the rows from there on (T X,)."""
        found = list[torch.Tensor]()
        for place in range(TOKENS):
            away = self.rows - self.rows.mean(dim=place, keepdim=True)
            found.append(away[..., place:, :].flatten(0, 3).flatten(1).norm(dim=1) / deviation)
        return torch.cat(found)

    def nats(self, deviation: float) -> float:
        """Per token, by the better of two references."""
        prior_X, rows_XTD = self.prior.flatten(), self.rows.flatten(0, 3) / deviation
        centre_TD = (prior_X[:, None, None] * rows_XTD).sum(0)
        away_XTD = rows_XTD - centre_TD
        spread_DD = torch.einsum("x,xtd,xte->de", prior_X, away_XTD, away_XTD) / TOKENS
        found = list[float]()
        for reference in (Reference(centre_TD), Reference(centre_TD, spread_DD)):
            nats_X = torch.tensor([reference.nats(rows_TD) for rows_TD in rows_XTD], dtype=torch.float64)
            found.append(float((prior_X * nats_X).sum()) / TOKENS)
        return min(found)


class Labels:
    """Gradients of a norm-free last layer: g(y) = Wᵀ(p − e_y), clipped, for tokens with a prior p each."""

    def __init__(self, *, vocabulary: int = 50, width: int = 16, tokens: int = 200, clip: float = 4.0) -> None:
        draw = torch.Generator().manual_seed(3)
        weight_VD = torch.randn(vocabulary, width, generator=draw, dtype=torch.float64)
        state_ND = torch.randn(tokens, width, generator=draw, dtype=torch.float64) * 0.5
        self.prior_NV = torch.softmax(state_ND @ weight_VD.t(), dim=1)
        exact_NVD = (self.prior_NV @ weight_VD).unsqueeze(1) - weight_VD
        self.gradient_NVD = exact_NVD * (clip / exact_NVD.norm(dim=-1, keepdim=True)).clamp_max(1.0)

    @property
    def chance(self) -> float:
        """Of whoever knows p."""
        return float(self.prior_NV.max(1).values.mean())

    def bayes(self, deviation: float, draws: int = 40) -> float:
        """Of the exact attacker, by posteriors."""
        draw, found = torch.Generator().manual_seed(4), 0.0
        square_NV = self.gradient_NVD.square().sum(-1) / 2
        for _ in range(draws):
            label_N = torch.multinomial(self.prior_NV, 1, generator=draw).squeeze(1)
            true_ND = self.gradient_NVD[torch.arange(len(label_N)), label_N]
            noisy_ND = true_ND + deviation * torch.randn(true_ND.shape, generator=draw, dtype=torch.float64)
            match_NV = torch.einsum("nd,nvd->nv", noisy_ND, self.gradient_NVD)
            posterior_NV = torch.softmax(self.prior_NV.log() + (match_NV - square_NV) / deviation**2, dim=1)
            found += float(posterior_NV.max(1).values.mean())
        return found / draws
