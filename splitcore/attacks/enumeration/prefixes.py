"""Recovered prefixes of one length, and what the head computes for one more token (torch).

Shapes: S prefixes, T tokens of each, P pairs of a prefix and a next token, D hidden, H tokens of a trial.
"""

from __future__ import annotations

import copy

import torch
from transformers import Cache, DynamicCache

from splitcore.models.carve import Segment

PAIRS = 256  # pairs per pass with a cache
TOKENS = 4096  # tokens per pass without one
TRIAL = 2, 12  # rows and tokens of the trial of a cache
CLOSE = 1e-2  # largest relative distance of a vector from the pass without a cache: bfloat16 differs by this much


class Prefixes:
    """Prefixes, with the keys and values of the head's layers where the head can go on from them."""

    def __init__(self, head: Segment, ids_ST: torch.Tensor, cache: Cache | None) -> None:
        self._head, self.ids_ST, self._cache = head, ids_ST, cache

    @classmethod
    def empty(cls, head: Segment, count: int, *, cached: bool) -> Prefixes:
        """`count` prefixes of no token."""
        cache = DynamicCache(config=head.model.config) if cached else None
        return cls(head, torch.zeros(count, 0, dtype=torch.int64), cache)

    def states(self, at_P: torch.Tensor, tokens_P: torch.Tensor) -> torch.Tensor:
        """The head's output (P, D) at each token, after the prefix at its place; nothing is kept."""
        size = PAIRS if self._cache is not None else max(1, TOKENS // (self.ids_ST.shape[1] + 1))
        parts = zip(at_P.split(size), tokens_P.split(size), strict=True)
        return torch.cat([self._pass(at_P, tokens_P)[0] for at_P, tokens_P in parts])

    def extended(self, at_P: torch.Tensor, tokens_P: torch.Tensor) -> Prefixes:
        """The prefixes at these places, each with its token."""
        ids_PT = torch.cat([self.ids_ST[at_P], tokens_P.unsqueeze(1)], 1)
        cache = None if self._cache is None else self._pass(at_P, tokens_P)[1]
        return Prefixes(self._head, ids_PT, cache)

    def _pass(self, at_P: torch.Tensor, tokens_P: torch.Tensor) -> tuple[torch.Tensor, Cache | None]:
        mask_PT = torch.ones(len(at_P), self.ids_ST.shape[1] + 1, dtype=torch.int64)
        if self._cache is None:
            ids_PT = torch.cat([self.ids_ST[at_P], tokens_P.unsqueeze(1)], 1)
            return self._head(mask_PT, ids_BL=ids_PT)[:, -1].float(), None
        cache = _selected(self._cache, at_P)
        return self._head(mask_PT, ids_BL=tokens_P.unsqueeze(1), cache=cache)[:, -1].float(), cache


def _selected(cache: Cache, at_P: torch.Tensor) -> Cache:
    """A copy with the rows at these places."""
    chosen = copy.copy(cache)
    chosen.layers = [copy.copy(layer) for layer in cache.layers]
    chosen.batch_select_indices(at_P)
    return chosen


@torch.no_grad()
def goes_on_from_a_cache(head: Segment, vocabulary: int) -> bool:
    """Whether the head computes the same from cached keys and values, found by trying.

    Some architectures cannot: they count positions elsewhere, or keep another kind of state.
    """
    if head.plan.start == head.plan.end:
        return False  # nothing is cached where there is no layer, the position neither
    generator = torch.Generator().manual_seed(0)
    ids_SH = torch.randint(vocabulary, TRIAL, generator=generator)
    whole_SHD = head(torch.ones_like(ids_SH), ids_BL=ids_SH).float()
    prefixes, swapped_S = Prefixes.empty(head, len(ids_SH), cached=True), torch.tensor([1, 0])
    try:
        for place, tokens_S in enumerate(ids_SH.t()):
            found_SD = prefixes.states(swapped_S, tokens_S[swapped_S])[swapped_S]
            if not _close(found_SD, whole_SHD[:, place]):
                return False
            prefixes = prefixes.extended(torch.arange(len(ids_SH)), tokens_S)
    except Exception:  # an architecture without such a cache may fail in any way
        return False
    return True


def _close(found_SD: torch.Tensor, exact_SD: torch.Tensor) -> bool:
    return bool(((found_SD - exact_SD).norm(dim=1) <= CLOSE * exact_SD.norm(dim=1)).all())
